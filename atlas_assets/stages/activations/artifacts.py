"""The artifacts of stage 12: sums and counts of what each neuron did, per unit and layer."""

from __future__ import annotations

from atlas_assets.errors import unsound
from atlas_assets.stages.activations.activations import (
    Activations,
    Units,
    units_of_checker_prompts,
    units_of_object_prompts,
)
from atlas_assets.stages.artifact import Artifact, Layout, Model
from atlas_assets.stages.check import Check, Details, Inspected


def _have_their_prompts(of: Inspected, units: Units) -> Details:
    activations: Activations = of.value
    found = dict(zip(activations.names, activations.n_prompts.tolist(), strict=True))
    for unit in sorted(found.keys() | units.keys()):
        wanted, here = len(units.get(unit, ())), found.get(unit, 0)
        if wanted != here:
            what, expected = "the activations are not sound", f"activations over {wanted} prompts"
            raise unsound(what, unit, expected, f"over {here}")
    return {"units": len(found)}


OBJECT_ACTIVATIONS = Artifact(
    key="object_activations",
    title="Activations of the object prompts",
    filename="12_object_activations.h5",
    content=Layout.PAIR_ACTIVATIONS,
    group="stage_12_activations",
    description="Per pair and layer, over its n prompts: Σ|readout| and #(|readout| > 0) of "
    "every neuron; the readout is the output of the block's MLP.",
    compute=lambda making: making.model.read_object_prompts(making.read("object_prompts")),
    inputs=("object_prompts",),
    model=Model.NETWORK,
    checks=(
        Check(
            "counts",
            "of every pair, over all its prompts",
            lambda of: _have_their_prompts(of, units_of_object_prompts(of.input("object_prompts"))),
        ),
    ),
)

CHECKER_ACTIVATIONS = Artifact(
    key="checker_activations",
    title="Activations of the checker prompts",
    filename="12_checker_activations.h5",
    content=Layout.CONCEPT_ACTIVATIONS,
    group="stage_12_activations",
    description="Per testable concept and layer, over its checker prompts: Σ|readout| and "
    "#(|readout| > 0) of every neuron.",
    of_own="Per concept that has checker prompts and layer, over these: Σ|readout| and "
    "#(|readout| > 0) of every neuron.",
    compute=lambda making: making.model.read(
        units_of_checker_prompts(making.read("checker_prompts"))
    ),
    inputs=("checker_prompts",),
    model=Model.NETWORK,
    checks=(
        Check(
            "counts",
            "of every testable concept, over all its prompts",
            lambda of: _have_their_prompts(
                of, units_of_checker_prompts(of.input("checker_prompts"))
            ),
        ),
    ),
)
