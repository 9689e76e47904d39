"""What is checked of each artifact, whoever made it (the table of integrity checks)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from atlas_assets.soundness.inspection import Details, Inspection, NotComparedError, neighbour
from atlas_assets.stages.activations.units import units_of_checker_prompts, units_of_object_prompts
from atlas_assets.stages.analyses import integrity as of_tables
from atlas_assets.stages.analyses import modularity, token_independence
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.decomposition import decomposition
from atlas_assets.stages.masks import integrity as of_masks
from atlas_assets.stages.masks.masks import require_same_layers, universal_from_table
from atlas_assets.stages.prompts import integrity as of_prompts
from atlas_assets.stages.prompts.checker_prompts import keyword_of
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.setting import REFERENCE, STANDALONE

_MASK_FILES = ("object_masks", "checker_masks", "token_checker_masks")


@dataclass(frozen=True)
class IntegrityCheck:
    """One thing that must hold of an artifact before anything is computed from it.

    Attributes:
        name: of the check.
        statement: what holds.
        verify: raises AtlasError where it does not, NotComparedError where it cannot be known;
            returns what was looked at.
    """

    name: str
    statement: str
    verify: Callable[[Inspection], Details]


def _schema(of: Inspection) -> Details:
    if of.key in _MASK_FILES:
        return of.masks.description
    return dict(ARTIFACTS[of.key].format.describe(of.value))


def _object_prompt_counts(of: Inspection) -> Details:
    stored = of.store.provenance(of.key)
    grid = stored.lineage.grid if stored and stored.lineage else None
    variations = grid.variations if grid else None
    return {"pairs": of_prompts.object_prompts_are_complete(of.value, variations)}


def _object_prompts_parse(of: Inspection) -> Details:
    return {"distinct_prompts": of_prompts.object_prompts_show_their_node(of.value)}


def _checker_prompt_counts(of: Inspection) -> Details:
    target = load_stimuli().checker_prompts.target_per_object
    return {"concepts": of_prompts.checker_prompts_are_complete(of.value, target)}


def _checker_prompts_parse(of: Inspection) -> Details:
    keywords = load_stimuli().checker_prompts.keyword_map
    return {"distinct_prompts": of_prompts.checker_prompts_avoid_their_concept(of.value, keywords)}


def _pair_units(of: Inspection) -> Details:
    prompts = units_of_object_prompts(of.input("object_prompts"))
    counts = {unit: len(texts) for unit, texts in prompts.items()}
    return {"units": of_prompts.units_have_their_prompts(of.value, counts)}


def _concept_units(of: Inspection) -> Details:
    prompts = units_of_checker_prompts(of.input("checker_prompts"))
    counts = {unit: len(texts) for unit, texts in prompts.items()}
    return {"units": of_prompts.units_have_their_prompts(of.value, counts)}


def _universal_within_pairs(of: Inspection) -> Details:
    masks = of.masks
    universal = of_masks.pack(masks.universal)
    return {"inclusions": of_masks.universal_masks_are_intersections(masks.units, universal)}


def _monotone_files(of: Inspection) -> Details:
    """Against every neighbour on disk; of two files in one run, the tighter one is compared."""
    own, here = of.masks, of.setting
    present = [at for at in of.store.sweep if of.store.exists(of.key, at)]
    if here is None or here not in present:
        present = [*present, *([here] if here else [])]
    couples = [
        (looser, tighter)
        for tighter in present
        for looser in of_masks.looser_neighbours(tighter, present)
        if here == tighter or (here == looser and tighter not in of.together)
    ]
    compared, skipped = [], []
    for looser, tighter in couples:
        other = looser if here == tighter else tighter
        try:
            masks = neighbour(of, other, own)
        except NotComparedError as error:
            skipped.append(error.what)
            continue
        pair = (masks, own) if here == tighter else (own, masks)
        of_masks.no_neuron_is_added(pair[0].units, pair[1].units, looser, tighter)
        compared.append(str(other))
    return {"compared_with": "; ".join(compared) or "none", "skipped": "; ".join(skipped)}


def _one_width(of: Inspection) -> Details:
    setting = of.setting or REFERENCE
    universal = of.mask_input("object_masks", setting)
    own = of.masks.universal
    require_same_layers(universal, own, "universal masks", f"masks of {of.key}")
    return {"layers": own.n_layers, "width": own.width}


def _sweep_counts(of: Inspection) -> Details:
    by_setting = of_masks.sweep_is_complete(of.value, of.store.sweep)
    return {"settings": len(by_setting), "rows": of.value.height}


def _monotone_table(of: Inspection) -> Details:
    by_setting = of_masks.sweep_is_complete(of.value, of.store.sweep)
    return {"couples_of_settings": of_masks.sweep_is_monotone(by_setting)}


def _agrees_with_files(of: Inspection) -> Details:
    circuits = 0
    for setting in of.store.sweep:
        circuits += of_masks.masks_agree(
            universal_from_table(of.value, setting),
            of.mask_input("object_masks", setting),
            "the table",
            f"object_masks at {setting}",
        )
    return {"circuits": circuits}


def _standalone_agrees(of: Inspection) -> Details:
    table = universal_from_table(of.input("masks"), STANDALONE)
    return {"circuits": of_masks.masks_agree(of.value, table, "the file", "masks")}


def _target_checker_adds_up(of: Inspection) -> Details:
    universal = of.mask_input("object_masks", of.setting)
    checker = of.mask_input("checker_masks", of.setting)
    return {"cells": of_tables.target_checker_adds_up(of.value, universal, checker)}


def _summary_agrees(of: Inspection) -> Details:
    tables = {setting: of.input("target_checker", setting) for setting in of.store.sweep}
    recomputed = decomposition.summary(tables)
    sizes = ("mean_A_size", "mean_B_size")
    key = ("epsilon", "consistency")
    return {"rows": of_tables.tables_agree(of.value, recomputed, key, one_decimal=sizes)}


def _modularity_rows(of: Inspection) -> Details:
    universal = universal_from_table(of.input("masks"), REFERENCE)
    axes: dict[str, list[object]] = {"index": list(universal.names)}
    if of.key == "modularity_detail":
        axes = {
            "object": list(universal.names),
            "layer": list(range(universal.n_layers)),
            "p_trim": list(modularity.TRIMS),
        }
    return {"rows": of_tables.rows_cover(of.value, axes)}


def _token_independence_adds_up(of: Inspection) -> Details:
    checker = of.input("token_checker_masks")
    universal = universal_from_table(of.input("masks"), checker.setting)
    cells = of_tables.token_independence_adds_up(of.value, universal, checker.masks)
    return {"cells": cells}


def _token_summary_agrees(of: Inspection) -> Details:
    recomputed = token_independence.summary(of.input("token_independence_detail"))
    return {"rows": of_tables.tables_agree(of.value, recomputed, ("object",))}


def _tokenless_rows(of: Inspection) -> Details:
    keywords = keyword_of(load_stimuli())
    concepts = of.input("masks")["concept"].unique().to_list()
    expected: list[object] = [concept for concept in concepts if concept not in keywords]
    return {"rows": of_tables.rows_cover(of.value, {"object": expected})}


SCHEMA = IntegrityCheck(
    "schema",
    "the file reads back whole: declared types and ranges, counts, keys once, no NaN or missing "
    "value, masks of one width, content as recorded",
    _schema,
)
_CHECKER_PROMPTS = (
    IntegrityCheck(
        "counts",
        "each concept has its prompts, at most 50, numbered from 0",
        _checker_prompt_counts,
    ),
    IntegrityCheck(
        "prompts_parse",
        "each prompt is Python, holds the concept's keyword and not the concept",
        _checker_prompts_parse,
    ),
)
_MONOTONE = "a larger ε or C never adds a neuron to a mask"
_ONE_WIDTH = IntegrityCheck(
    "one_width", "as many layers and neurons as the universal masks", _one_width
)
_ADDS_UP = "A∖B ∪ A∩B = A; co, sh and to are the sizes of A∖B, A∩B and B∖A of the masks on disk"

#: artifact → what is checked of it, besides its schema
CHECKS: Mapping[str, tuple[IntegrityCheck, ...]] = {
    "object_prompts": (
        IntegrityCheck(
            "counts", "each pair has as many prompts, numbered from 0", _object_prompt_counts
        ),
        IntegrityCheck(
            "prompts_parse", "each prompt is Python and holds its AST node", _object_prompts_parse
        ),
    ),
    "checker_prompts": _CHECKER_PROMPTS,
    "token_checker_prompts": _CHECKER_PROMPTS,
    "object_activations": (
        IntegrityCheck("counts", "of every pair, over all its prompts", _pair_units),
    ),
    "checker_activations": (
        IntegrityCheck("counts", "of every testable concept, over all its prompts", _concept_units),
    ),
    "object_masks": (
        IntegrityCheck(
            "universal_within_pairs",
            "a universal mask is in the mask of every pair of its concept, and leaves out nothing "
            "that they share",
            _universal_within_pairs,
        ),
        IntegrityCheck("monotone_sweep", _MONOTONE, _monotone_files),
    ),
    "checker_masks": (_ONE_WIDTH, IntegrityCheck("monotone_sweep", _MONOTONE, _monotone_files)),
    "token_checker_masks": (_ONE_WIDTH,),
    "masks": (
        IntegrityCheck("counts", "each setting has the same concepts and layers", _sweep_counts),
        IntegrityCheck("monotone_sweep", _MONOTONE, _monotone_table),
        IntegrityCheck(
            "agrees_with_files", "the universal masks of every file", _agrees_with_files
        ),
    ),
    "target_checker": (IntegrityCheck("adds_up", _ADDS_UP, _target_checker_adds_up),),
    "summary": (
        IntegrityCheck("agrees_with_inputs", "what the tables amount to", _summary_agrees),
    ),
    "modularity_scores": (IntegrityCheck("counts", "one row per concept", _modularity_rows),),
    "modularity_detail": (
        IntegrityCheck("counts", "one row per concept, layer and trim", _modularity_rows),
    ),
    "token_independence_detail": (
        IntegrityCheck("adds_up", _ADDS_UP, _token_independence_adds_up),
    ),
    "token_independence_summary": (
        IntegrityCheck("agrees_with_inputs", "the means of the detail", _token_summary_agrees),
    ),
    "token_independence_no_keyword": (
        IntegrityCheck("counts", "the concepts without a keyword, once each", _tokenless_rows),
    ),
    "universal_masks": (
        IntegrityCheck("agrees_with_inputs", "the masks of the sweep's table", _standalone_agrees),
    ),
}


def checks_of(key: str) -> tuple[IntegrityCheck, ...]:
    """Everything that is checked of an artifact."""
    return (SCHEMA, *CHECKS.get(key, ()))
