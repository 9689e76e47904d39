"""The artifacts of stage 12: sums and counts of what each neuron did, per unit and layer."""

from __future__ import annotations

from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.activations.units import (
    Units,
    units_of_checker_prompts,
    units_of_object_prompts,
)
from atlas_assets.stages.artifact import Artifact, Layout, Model
from atlas_assets.stages.check import Check, Details, Inspected
from atlas_assets.stages.making import Making
from atlas_assets.stages.prompts.integrity import units_have_their_prompts


def _object_activations(making: Making) -> Activations:
    return making.model.read_object_prompts(making.read("object_prompts"))


def _checker_activations(making: Making) -> Activations:
    return making.model.read(units_of_checker_prompts(making.read("checker_prompts")))


def _pair_units(of: Inspected) -> Details:
    return _have_their_prompts(of, units_of_object_prompts(of.input("object_prompts")))


def _concept_units(of: Inspected) -> Details:
    return _have_their_prompts(of, units_of_checker_prompts(of.input("checker_prompts")))


def _have_their_prompts(of: Inspected, units: Units) -> Details:
    counts = {unit: len(texts) for unit, texts in units.items()}
    return {"units": units_have_their_prompts(of.value, counts)}


OBJECT_ACTIVATIONS = Artifact(
    key="object_activations",
    title="Activations of the object prompts",
    filename="12_object_activations.h5",
    content=Layout.PAIR_ACTIVATIONS,
    group="stage_12_activations",
    description="Per pair and layer, over its n prompts: Σ|readout| and #(|readout| > 0) of "
    "every neuron; the readout is the output of the block's MLP.",
    compute=_object_activations,
    inputs=("object_prompts",),
    model=Model.NETWORK,
    checks=(Check("counts", "of every pair, over all its prompts", _pair_units),),
)

CHECKER_ACTIVATIONS = Artifact(
    key="checker_activations",
    title="Activations of the checker prompts",
    filename="12_checker_activations.h5",
    content=Layout.CONCEPT_ACTIVATIONS,
    group="stage_12_activations",
    description="Per testable concept and layer, over its checker prompts: Σ|readout| and "
    "#(|readout| > 0) of every neuron.",
    compute=_checker_activations,
    inputs=("checker_prompts",),
    model=Model.NETWORK,
    checks=(Check("counts", "of every testable concept, over all its prompts", _concept_units),),
)
