"""Stage 14: what a concept's circuit owes to its keyword (paper §5-6, docs/science.md §4).

With A the universal mask of a concept and B the mask of its keyword alone (checker prompts)::

    co = |A ∖ B|   active for the concept, not for the bare keyword
    sh = |A ∩ B|   active for both
    to = |B ∖ A|   active for the keyword only

Concept fraction = co / |A|, token fraction = sh / |A|; both 0 when A is empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import polars as pl

from atlas_assets.errors import ArtifactError, StimulusError, unsound
from atlas_assets.stages import columns as col
from atlas_assets.stages.artifact import Artifact, Entry
from atlas_assets.stages.check import (
    ADDS_UP,
    Check,
    Details,
    Inspected,
    agrees_with_inputs,
    circuits_add_up,
)
from atlas_assets.stages.concepts import Kind, kinds_of, split_concept
from atlas_assets.stages.making import Making, setting_made, with_universal
from atlas_assets.stages.masks.masks import CheckerMasks, Masks, require_same_layers
from atlas_assets.stages.report.table import Table, table
from atlas_assets.stages.rounding import Counts, fractions, mean
from atlas_assets.stages.schema import Column, TableSchema
from atlas_assets.stages.setting import PUBLISHED_SWEEP, REFERENCE, SWEEP, Setting, spell

TARGET_CHECKER_SCHEMA = TableSchema(
    columns=(col.concept("target", "a concept with checker prompts; A = universal mask"),),
    key=("target",),
    series=Column(
        "L",
        pl.String(),
        "layer {}: |A∖B| / |A∩B| / |B∖A|, B = checker mask (of the keyword alone, or own)",
        pattern=r"^\d+ / \d+ / \d+$",
    ),
)
_MEANS = (
    col.share(
        "mean_concept_fraction",
        "mean over concept × layer of |A∖B| / |A| (0 where A is empty)",
        nullable=True,
    ),
    col.share(
        "mean_token_fraction",
        "mean over concept × layer of |A∩B| / |A| (0 where A is empty)",
        nullable=True,
    ),
)
_SIZE_MEANS = (
    col.mean("mean_A_size", "mean size of the universal masks, neurons", nullable=True),
    col.mean("mean_B_size", "mean size of the checker masks, neurons", nullable=True),
)
OWN_SUMMARY_SCHEMA = TableSchema(
    columns=(
        col.EPSILON,
        col.CONSISTENCY,
        col.count("n_checked", "concepts that have checker prompts"),
        *_MEANS,
        *_SIZE_MEANS,
    ),
    key=("epsilon", "consistency"),
    may_be_empty=False,
)
SUMMARY_SCHEMA = TableSchema(
    columns=(
        col.EPSILON,
        col.CONSISTENCY,
        col.count("n_testable", "concepts that have a keyword"),
        col.count("n_ast", "AST nodes among them"),
        col.count("n_builtin", "builtins among them"),
        *_MEANS,
        col.share("ast_concept_fraction", "mean concept fraction of the AST nodes", nullable=True),
        col.share("ast_token_fraction", "mean token fraction of the AST nodes", nullable=True),
        col.share("blt_concept_fraction", "mean concept fraction of the builtins", nullable=True),
        col.share("blt_token_fraction", "mean token fraction of the builtins", nullable=True),
        *_SIZE_MEANS,
    ),
    key=("epsilon", "consistency"),
    rules=(col.sum_of("n_testable", "n_ast", "n_builtin"),),
    may_be_empty=False,
    own=OWN_SUMMARY_SCHEMA,
)
_CELL = re.compile(r"(\d+) / (\d+) / (\d+)")
_bad_table = partial(unsound, "a target_checker table cannot be read")


def counts(universal: Masks, checker: Masks) -> Counts:
    """Count co, sh and to for every concept that has a checker (or token-checker) mask.

    There may be more concepts with a universal mask.

    Returns:
        int64 ``[checker units, layers, 3]``, last axis (co, sh, to), units as in ``checker``.

    Raises:
        ArtifactError: Layers or widths differ, or a checked concept has no universal mask.
    """
    require_same_layers(universal, checker, "universal masks", "checker masks")
    missing = sorted(set(checker.names) - set(universal.names))
    if missing:
        raise ArtifactError(
            "a concept has a checker mask and no universal mask",
            where=", ".join(missing),
            expected="every checked concept among the universal masks",
            found=f"{len(universal.names)} concepts without {len(missing)} of the checked ones",
            remedy="if the loss filter dropped all its pairs, raise the threshold or leave the "
            "concept out of the grid; otherwise materialise the checker masks again",
        )
    concepts = universal.select(checker.names)
    shared = Masks(checker.names, concepts.bits & checker.bits).sizes()
    return np.stack([concepts.sizes() - shared, shared, checker.sizes() - shared], axis=-1)


def target_checker(universal: Masks, checker: Masks) -> pl.DataFrame:
    """Make the published table of one setting from its universal and checker masks.

    Columns are ``target`` and ``L0`` … one per layer, cells ``co / sh / to``; there is one row per
    concept with a checker mask, sorted. Errors are those of `counts`.
    """
    cells = counts(universal, checker)
    columns = {"target": list(checker.names)}
    for layer in range(checker.n_layers):
        columns[f"L{layer}"] = [f"{co} / {sh} / {to}" for co, sh, to in cells[:, layer].tolist()]
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def parse_target_checker(table: pl.DataFrame) -> Counts:
    """Read the numbers of a ``target_checker`` table, also of one from the release.

    Returns:
        int64 ``[targets, layers, 3]``, last axis (co, sh, to), rows as in ``table``.

    Raises:
        ArtifactError: A column or a cell is not what `target_checker` writes.
    """
    layers = [f"L{layer}" for layer in range(max(1, table.width - 1))]
    if table.columns != ["target", *layers]:
        raise _bad_table("columns", "target, L0, L1, …", ", ".join(table.columns) or "none")
    parsed = np.empty((table.height, len(layers), 3), dtype=np.int64)
    for j, layer in enumerate(layers):
        for i, cell in enumerate(table[layer].to_list()):
            match = _CELL.fullmatch(str(cell))
            if match is None:
                where = f"row {table['target'][i]}, column {layer}"
                raise _bad_table(where, "co / sh / to, three whole numbers", repr(cell))
            parsed[i, j] = [int(number) for number in match.groups()]
    return parsed


def tidy_target_checker(table: pl.DataFrame) -> pl.DataFrame:
    """Put a ``target_checker`` table into one row per concept and layer, in numbers.

    Returns:
        ``concept``, ``type``, ``layer``, ``size`` = |A|, ``concept_only``, ``shared``,
        ``token_only`` (neurons), ``concept_fraction`` and ``token_fraction`` of the size, to 4
        decimals, 0 where A is empty. Errors are those of `parse_target_checker`.
    """
    cells = parse_target_checker(table)
    n_layers, concepts = cells.shape[1], table["target"]
    concept_only, shared, token_only = cells.reshape(-1, 3).T
    size = concept_only + shared
    return pl.DataFrame(
        {
            "concept": [name for name in concepts for _ in range(n_layers)],
            "type": [kind for kind in _kinds(table) for _ in range(n_layers)],
            "layer": np.tile(np.arange(n_layers), len(concepts)),
            "size": size,
            "concept_only": concept_only,
            "shared": shared,
            "token_only": token_only,
            "concept_fraction": fractions(concept_only, size),
            "token_fraction": fractions(shared, size),
        }
    )


def summary(tables: Mapping[Setting, pl.DataFrame]) -> pl.DataFrame:
    """Make the published summary of a sweep from the ``target_checker`` table of each setting.

    Fractions are means over concept × layer of the rounded fractions, to 4 decimals; sizes are
    means over concept × layer of |A| = co + sh and |B| = sh + to, to 1 decimal. Every mean is
    `rounding.mean`, numpy's pairwise sum, as in the release.

    Returns:
        The columns of ``SUMMARY_SCHEMA`` (of own concepts ``OWN_SUMMARY_SCHEMA``), one row per
        setting, ε then C ascending. A mean over no concept at all (a cut grid without a testable
        AST node, say) is null; none is ever NaN.
    """
    cells = {setting: parse_target_checker(table) for setting, table in sorted(tables.items())}
    kinds = {setting: _kinds(tables[setting]) for setting in cells}
    own = any("own" in found for found in kinds.values())
    schema = OWN_SUMMARY_SCHEMA if own else SUMMARY_SCHEMA
    rows = [_summarise(at, counted, kinds[at], own) for at, counted in cells.items()]
    return pl.DataFrame(rows, schema=schema.polars, orient="row")


def _summarise(
    setting: Setting, cells: Counts, kinds: Sequence[Kind], own: bool
) -> tuple[float | None, ...]:
    concept_only, shared, token_only = np.moveaxis(cells, -1, 0)
    sizes = concept_only + shared
    by_concept, by_token = fractions(concept_only, sizes), fractions(shared, sizes)
    is_ast = np.array([kind == "ast" for kind in kinds], dtype=np.bool_)
    everyone = np.ones_like(is_ast)
    groups = (everyone,) if own else (everyone, is_ast, ~is_ast)
    values = [mean(of[group]) for group in groups for of in (by_concept, by_token)]
    n_ast = int(is_ast.sum())
    sizes_mean = [mean(sizes, places=1), mean(shared + token_only, places=1)]
    number = (len(is_ast),) if own else (len(is_ast), n_ast, len(is_ast) - n_ast)
    return (setting.epsilon, setting.consistency, *number, *values, *sizes_mean)


def _kinds(table: pl.DataFrame) -> list[Kind]:
    """The kind of the concept of each row."""
    try:
        return [split_concept(target)[0] for target in table["target"]]
    except StimulusError as error:
        raise _bad_table("column target", "names of concepts", str(error.where)) from error


#: columns of mean sizes, which are printed to one decimal
_SIZES = {"mean |A|": 1, "mean |B|": 1, "mean |A∩B|": 1}


def summary_shown(summary: pl.DataFrame) -> Table:
    """Show the fractions and sizes at every setting."""
    columns = {
        "mean_concept_fraction": "concept fraction",
        "ast_concept_fraction": "of AST nodes",
        "blt_concept_fraction": "of builtins",
        "mean_token_fraction": "token fraction",
        "mean_A_size": "mean |A|",
        "mean_B_size": "mean |B|",
    }
    columns = {name: header for name, header in columns.items() if name in summary.columns}
    rows = [
        [f"ε = {spell(row['epsilon'])}, C = {spell(row['consistency'])}"]
        + [row[name] for name in columns]
        for row in summary.iter_rows(named=True)
    ]
    first = summary.row(0, named=True)
    if "n_checked" in first:
        note = (
            f"Means over concept × layer, over {first['n_checked']} concepts that have checker "
            "prompts. A: universal mask, B: mask of the checker prompts."
        )
    else:
        note = (
            f"Means over concept × layer, over {first['n_ast']} AST nodes and "
            f"{first['n_builtin']} builtins that have a keyword. A: universal mask, B: mask of "
            "the keyword alone."
        )
    return table("The sweep", ["setting", *columns.values()], rows, note=note, places_of=_SIZES)


def target_checker_shown(target_checker: pl.DataFrame) -> Table:
    """Show concept only, shared, token only for every concept and layer of one setting."""
    layers = [f"layer {name.removeprefix('L')}" for name in target_checker.columns[1:]]
    own = "own" in _kinds(target_checker)
    checked, mask = (
        ("checker prompts", "checker prompts") if own else ("a keyword", "keyword alone")
    )
    return table(
        f"Decomposition of every concept that has {checked}",
        ["concept", *layers],
        target_checker.iter_rows(),
        note=f"Neurons in A∖B / A∩B / B∖A; A: universal mask, B: mask of the {mask}.",
        folded=True,
    )


def _compute_target_checker(making: Making) -> pl.DataFrame:
    setting = setting_made(making)
    universal = making.universal(setting)
    checker: CheckerMasks = making.read("checker_masks", setting)
    table = target_checker(universal, with_universal(making, checker, universal))
    means = summary({setting: table}).row(0, named=True)
    prefixes = {"ast": "ast", "builtin": "blt", "own": "mean"}
    noted = {
        f"mean_{kind}_{part}": means[f"{prefixes[kind]}_{part}"]
        for part in ("concept_fraction", "token_fraction")
        for kind in kinds_of(table["target"])
    }
    # a cut grid without a testable AST node, say, does not have all of them
    making.note(**{name: mean for name, mean in noted.items() if mean is not None})
    return table


def _compute_summary(making: Making) -> pl.DataFrame:
    sweep = making.sweep
    return summary({setting: making.read("target_checker", setting) for setting in sweep})


def _target_checker_adds_up(of: Inspected) -> Details:
    universal = of.mask_input("object_masks", of.setting)
    checker = of.mask_input("checker_masks", of.setting)
    cells, names = parse_target_checker(of.value), of.value["target"].to_list()
    return {"cells": circuits_add_up(cells, names, universal, checker)}


TARGET_CHECKER = Artifact(
    key="target_checker",
    title="Decomposition",
    filename="14_target_checker_{tag}.csv",
    content=TARGET_CHECKER_SCHEMA,
    group="stage_14_decomposition",
    description="Per testable concept and layer, with A its universal mask and B its "
    "keyword's: |A∖B| / |A∩B| / |B∖A| (paper §6). One file per setting.",
    of_own="Per concept that has checker prompts and layer, with A its universal mask and B that "
    "of its checker prompts: |A∖B| / |A∩B| / |B∖A|. One file per setting.",
    compute=_compute_target_checker,
    inputs=("object_masks", "checker_masks"),
    partitions=SWEEP,
    parts={"object_masks": "universal"},
    checks=(Check("adds_up", ADDS_UP, _target_checker_adds_up),),
    entries=(Entry("fractions", target_checker_shown, rank=1, setting=REFERENCE),),
)

SUMMARY = Artifact(
    key="summary",
    title="Summary of the sweep",
    filename="14_summary.csv",
    content=SUMMARY_SCHEMA,
    code_version="2",  # 1 averaged by a compensated sum
    group="stage_14_decomposition",
    description="Per setting: concept fraction |A∖B| / |A| and token fraction |A∩B| / |A|, "
    "means over concept × layer (paper §7.2).",
    compute=_compute_summary,
    inputs=("target_checker",),
    departures=PUBLISHED_SWEEP,
    checks=(
        agrees_with_inputs(
            "what the tables amount to",
            ("epsilon", "consistency"),
            one_decimal=("mean_A_size", "mean_B_size"),
        ),
    ),
    entries=(Entry("fractions", summary_shown),),
)
