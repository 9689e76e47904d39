"""The artifacts of stage 13: masks per setting, the sweep in one table, the standalone file."""

from __future__ import annotations

import polars as pl

from atlas_assets.stages.activations.activations import units_of_checker_prompts
from atlas_assets.stages.artifact import Artifact, Layout, Model
from atlas_assets.stages.check import Check, Details, Inspected, NotComparedError
from atlas_assets.stages.making import Making, setting_made
from atlas_assets.stages.masks.integrity import (
    looser_neighbours,
    masks_agree,
    no_neuron_is_added,
    sweep_is_complete,
    sweep_is_monotone,
    universal_masks_are_intersections,
)
from atlas_assets.stages.masks.masks import (
    UNIVERSAL_SCHEMA,
    CheckerMasks,
    checker_masks,
    require_same_layers,
    universal_from_table,
    universal_table,
)
from atlas_assets.stages.masks.packed import object_masks_of, pack
from atlas_assets.stages.setting import PUBLISHED_SWEEP, REFERENCE, STANDALONE, SWEEP, Setting

_MONOTONE = "a larger ε or C never adds a neuron to a mask"


def _token_checker_masks(making: Making) -> CheckerMasks:
    units = units_of_checker_prompts(making.read("token_checker_prompts"))
    return checker_masks(making.model.read(units), making.settings.token_checker)


def _masks(making: Making) -> pl.DataFrame:
    files = {at: making.read("object_masks", at, "universal") for at in making.sweep}
    return universal_table({at: masks.universal for at, masks in files.items()})


def _universal_within_pairs(of: Inspected) -> Details:
    masks = of.masks
    universal = pack(masks.universal)
    return {"inclusions": universal_masks_are_intersections(masks.units, universal)}


def _monotone_files(of: Inspected) -> Details:
    """Compare with every neighbour on disk; of two files of one run, only the tighter one does."""
    here = of.setting if isinstance(of.setting, Setting) else REFERENCE
    present = sorted({here, *(at for at in of.sweep if of.exists(at))})
    looser = looser_neighbours(here, present)
    tighter = [at for at in present if here in looser_neighbours(at, present)]
    compared_there = [at for at in tighter if at in of.together]
    compared, skipped = [], []
    for other in (*looser, *tighter):
        if other in compared_there:
            continue
        try:
            masks = of.neighbour(other).units
        except NotComparedError as error:
            skipped.append(error.what)
            continue
        if other in looser:
            no_neuron_is_added(masks, of.masks.units, other, here)
        else:
            no_neuron_is_added(of.masks.units, masks, here, other)
        compared.append(str(other))
    if not compared and not compared_there:
        raise NotComparedError(
            "not compared: " + ("; ".join(skipped) or "no neighbouring setting is there"),
            where=f"{of.key} at {here}",
            expected="the same artifact at the next smaller or larger ε or C",
            found="none that it could be compared with",
            remedy="materialise the other settings of the sweep",
        )
    return {"compared_with": "; ".join(compared) or "none", "skipped": "; ".join(skipped)}


def _one_width(of: Inspected) -> Details:
    universal = of.mask_input("object_masks", of.setting or REFERENCE)
    own = of.masks.universal
    require_same_layers(universal, own, "universal masks", f"masks of {of.key}")
    return {"layers": own.n_layers, "width": own.width}


def _sweep_counts(of: Inspected) -> Details:
    by_setting = sweep_is_complete(of.value, of.sweep)
    return {"settings": len(by_setting), "rows": of.value.height}


def _monotone_table(of: Inspected) -> Details:
    by_setting = sweep_is_complete(of.value, of.sweep)
    return {"couples_of_settings": sweep_is_monotone(by_setting)}


def _agrees_with_files(of: Inspected) -> Details:
    circuits = 0
    for setting in of.sweep:
        circuits += masks_agree(
            universal_from_table(of.value, setting),
            of.mask_input("object_masks", setting),
            "the table",
            f"object_masks at {setting}",
        )
    return {"circuits": circuits}


def _standalone_agrees(of: Inspected) -> Details:
    table = universal_from_table(of.input("masks"), STANDALONE)
    return {"circuits": masks_agree(of.value, table, "the file", "masks")}


_ONE_WIDTH = Check(
    "one_width",
    "as many layers and neurons as the universal masks",
    _one_width,
    beside=("object_masks",),
)

OBJECT_MASKS = Artifact(
    key="object_masks",
    title="Pair masks and universal masks",
    filename="13_object_masks_{tag}.h5",
    content=Layout.OBJECT_MASKS,
    group="stage_13_masks",
    description="Pair masks (Σ|r| / n > ε) ∧ (#firing / n ≥ C), and universal masks: a "
    "concept's is the intersection of all its pairs' masks. One file per setting.",
    compute=lambda making: object_masks_of(making.read("object_activations"), setting_made(making)),
    inputs=("object_activations",),
    partitions=SWEEP,
    checks=(
        Check(
            "universal_within_pairs",
            "a universal mask is in the mask of every pair of its concept, and leaves out nothing "
            "that they share",
            _universal_within_pairs,
        ),
        Check("monotone_sweep", _MONOTONE, _monotone_files),
    ),
)

CHECKER_MASKS = Artifact(
    key="checker_masks",
    title="Checker masks",
    filename="13_checker_masks_{tag}.h5",
    content=Layout.CHECKER_MASKS,
    group="stage_13_masks",
    description="Masks of the keywords alone, from the checker prompts: (Σ|r| / n > ε) ∧ "
    "(#firing / n ≥ C). One file per setting.",
    of_own="Masks of the checker prompts: (Σ|r| / n > ε) ∧ (#firing / n ≥ C). One file per "
    "setting.",
    compute=lambda making: checker_masks(
        making.read("checker_activations").whole(), setting_made(making)
    ),
    inputs=("checker_activations",),
    partitions=SWEEP,
    checks=(_ONE_WIDTH, Check("monotone_sweep", _MONOTONE, _monotone_files)),
)

TOKEN_CHECKER_MASKS = Artifact(
    key="token_checker_masks",
    title="Token-checker masks",
    filename="token_checker_masks.h5",
    content=Layout.CHECKER_MASKS,
    group="stage_13_masks",
    description="Masks of the keywords alone, from the token-checker prompts, at one setting.",
    compute=_token_checker_masks,
    inputs=("token_checker_prompts",),
    model=Model.NETWORK,
    departures={"token_checker_setting": (REFERENCE.epsilon, REFERENCE.consistency)},
    checks=(_ONE_WIDTH,),
)

MASKS = Artifact(
    key="masks",
    title="Universal masks of the sweep",
    filename="13_universal_masks_sweep.parquet",
    content=UNIVERSAL_SCHEMA,
    group="stage_13_masks",
    description="The universal masks of the whole sweep in one tidy table, one row per "
    "setting, concept and layer. Materialising it completes the sweep.",
    compute=_masks,
    inputs=("object_masks",),
    completes=("object_masks", "checker_masks"),
    departures=PUBLISHED_SWEEP,
    checks=(
        Check("counts", "each setting has the same concepts and layers", _sweep_counts),
        Check("monotone_sweep", _MONOTONE, _monotone_table),
        Check("agrees_with_files", "the universal masks of every file", _agrees_with_files),
    ),
)

UNIVERSAL_MASKS = Artifact(
    key="universal_masks",
    title="Standalone universal masks",
    filename="universal_106x50.h5",
    content=Layout.UNIVERSAL_MASKS,
    description="The universal masks at ε = 0.001, C = 0.8, standalone.",
    compute=lambda making: making.universal(STANDALONE),
    inputs=("masks",),
    setting=STANDALONE,
    checks=(Check("agrees_with_inputs", "the masks of the sweep's table", _standalone_agrees),),
)
