"""The artifacts of stage 12: sums and counts of what each neuron did, per unit and layer."""

from __future__ import annotations

import polars as pl

from atlas_assets.errors import unsound
from atlas_assets.stages.activations.activations import (
    Activations,
    Units,
    units_of_checker_prompts,
    units_of_object_prompts,
)
from atlas_assets.stages.activations.positions import SCHEMA, PositionActivations, table_of
from atlas_assets.stages.artifact import Artifact, Layout, Model
from atlas_assets.stages.check import Check, Details, Inspected
from atlas_assets.stages.making import Making
from atlas_assets.stages.prompts.positions import POSITIONS


def _have_their_prompts(of: Inspected, units: Units) -> Details:
    activations: Activations = of.value
    found = dict(zip(activations.names, activations.n_prompts.tolist(), strict=True))
    for unit in sorted(found.keys() | units.keys()):
        wanted, here = len(units.get(unit, ())), found.get(unit, 0)
        if wanted != here:
            what, expected = "the activations are not sound", f"activations over {wanted} prompts"
            raise unsound(what, unit, expected, f"over {here}")
    return {"units": len(found)}


def _positions(making: Making) -> pl.DataFrame:
    found = making.model.read_positions(making.read("object_prompts"))
    for each in found:
        making.note(
            **{
                f"pairs_without_{each.position}": len(each.left_out),
                f"prompts_with_{each.position}": int(each.n_prompts.sum()),
            }
        )
    return table_of(found)


def _prompts_have_concepts(of: Inspected) -> Details:
    prompts: pl.DataFrame = of.input("object_prompts")
    if "end" in prompts.columns:  # own prompts need not say where their concept is
        prompts = prompts.filter(pl.col("end").is_not_null())
    wanted = {pair: len(texts) for pair, texts in units_of_object_prompts(prompts).items()}
    found, _ = (PositionActivations.of(of.value, position) for position in POSITIONS)
    there = dict(zip(found.names, found.n_prompts.sum(axis=0).tolist(), strict=True))
    for pair in sorted(wanted.keys() | there.keys()):
        if wanted.get(pair) != there.get(pair):
            what, expected = "the activations are not sound", f"{wanted.get(pair, 0)} prompts"
            raise unsound(what, pair, expected, f"{there.get(pair, 0)}")
    return {"pairs": len(there)}


OBJECT_ACTIVATIONS = Artifact(
    key="object_activations",
    title="Activations of the object prompts",
    filename="12_object_activations.h5",
    content=Layout.PAIR_ACTIVATIONS,
    group="stage_12_activations",
    description="Per pair and layer, over its n prompts: Σ|readout| and #(|readout| > 0) of "
    "every neuron; the readout is what the block shows at the site.",
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

POSITION_ACTIVATIONS = Artifact(
    key="position_activations",
    title="Activations at concepts and names",
    filename="12_position_activations.parquet",
    content=SCHEMA,
    group="stage_12_activations",
    description="Per position (the last token of the prompt's target node; of its builtin's name), "
    "half of the prompts (domains 0, 2, 4 for discovery, 1 and 3 for test), pair and layer: "
    "Σ|readout| and #(|readout| > κ·scale) of every neuron, κ = 0, 0.1, 0.3, 1. Halves of pairs "
    "that never show the position have no row.",
    of_own="At the last token of the concept, in the prompts that say where it ends, per half of "
    "the prompts (of each five, the first, third and fifth for discovery), pair and layer: "
    "Σ|readout| and #(|readout| > κ·scale) of every neuron, κ = 0, 0.1, 0.3, 1.",
    compute=_positions,
    # it comes from the pass that the activations come from, and after them
    inputs=("object_prompts", "object_activations"),
    model=Model.NETWORK,
    checks=(
        Check(
            "counts",
            "in every layer of every pair, over the prompts that show their concept",
            _prompts_have_concepts,
        ),
    ),
)
