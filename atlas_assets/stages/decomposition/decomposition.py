"""Stage 14: what a concept's circuit owes to its keyword (paper §5-6, docs/science.md §4).

With A the universal mask of a concept and B the mask of its keyword alone (checker prompts)::

    co = |A ∖ B|   active for the concept, not for the bare keyword
    sh = |A ∩ B|   active for both
    to = |B ∖ A|   active for the keyword only

Concept fraction = co / |A|, token fraction = sh / |A|; both 0 when A is empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.errors import ArtifactError, StimulusError
from atlas_assets.stages.concepts import split_concept
from atlas_assets.stages.masks.masks import Masks, require_same_layers
from atlas_assets.stages.rounding import Counts, fractions, means
from atlas_assets.stages.setting import Setting

SUMMARY_SCHEMA = pl.Schema(
    {
        "epsilon": pl.Float64(),
        "consistency": pl.Float64(),
        "n_testable": pl.Int64(),
        "n_ast": pl.Int64(),
        "n_builtin": pl.Int64(),
        "mean_concept_fraction": pl.Float64(),
        "mean_token_fraction": pl.Float64(),
        "ast_concept_fraction": pl.Float64(),
        "ast_token_fraction": pl.Float64(),
        "blt_concept_fraction": pl.Float64(),
        "blt_token_fraction": pl.Float64(),
        "mean_A_size": pl.Float64(),
        "mean_B_size": pl.Float64(),
    }
)
_CELL = re.compile(r"(\d+) / (\d+) / (\d+)")


def counts(universal: Masks, checker: Masks) -> Counts:
    """co, sh and to of every concept that has a checker mask.

    Args:
        universal: universal masks; may hold more concepts than ``checker``.
        checker: checker or token-checker masks.

    Returns:
        int64 ``[checker units, layers, 3]``, last axis (co, sh, to), units as in ``checker``.

    Raises:
        ArtifactError: layers or widths differ, or a checked concept has no universal mask.
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
    """The published table of one setting.

    Returns:
        Columns ``target`` and ``L0`` … one per layer, each cell ``co / sh / to``; one row per
        concept with a checker mask, sorted by target.

    Raises:
        ArtifactError: as for ``counts``.
    """
    cells = counts(universal, checker)
    columns = {"target": list(checker.names)}
    for layer in range(checker.n_layers):
        columns[f"L{layer}"] = [f"{co} / {sh} / {to}" for co, sh, to in cells[:, layer].tolist()]
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def parse_target_checker(table: pl.DataFrame) -> Counts:
    """The numbers of a ``target_checker`` table, a release file's included.

    Returns:
        int64 ``[targets, layers, 3]``, last axis (co, sh, to), rows as in ``table``.

    Raises:
        ArtifactError: a column or a cell is not what ``target_checker`` writes.
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


def summary(tables: Mapping[Setting, pl.DataFrame]) -> pl.DataFrame:
    """The published summary of a sweep: one row per setting, ε then C ascending.

    Fractions are means over concept × layer of the rounded fractions, to 4 decimals; sizes are
    means over concept × layer of |A| = co + sh and |B| = sh + to, to 1 decimal.

    Args:
        tables: the ``target_checker`` table of each setting.

    Returns:
        Columns ``SUMMARY_SCHEMA``. A mean over no concept at all (a cut grid without a testable
        AST node, say) is null; no column is ever NaN.

    Raises:
        ArtifactError: a table is malformed.
    """
    rows = [_summarise(setting, table) for setting, table in sorted(tables.items())]
    return pl.DataFrame(rows, schema=SUMMARY_SCHEMA, orient="row")


def _summarise(setting: Setting, table: pl.DataFrame) -> tuple[float | None, ...]:
    concept_only, shared, token_only = np.moveaxis(parse_target_checker(table), -1, 0)
    sizes = concept_only + shared
    by_concept, by_token = fractions(concept_only, sizes), fractions(shared, sizes)
    is_ast = _are_ast(table["target"].to_list())
    everyone = np.ones_like(is_ast)
    values = [
        _mean(of[group]) for group in (everyone, is_ast, ~is_ast) for of in (by_concept, by_token)
    ]
    n_ast = int(is_ast.sum())
    sizes_mean = [_mean(sizes, places=1), _mean(shared + token_only, places=1)]
    number = (len(is_ast), n_ast, len(is_ast) - n_ast)
    return (setting.epsilon, setting.consistency, *number, *values, *sizes_mean)


def _mean(values: npt.NDArray[np.float64] | Counts, places: int = 4) -> float | None:
    return float(means(values.ravel(), places)) if values.size else None


def _are_ast(targets: Iterable[str]) -> npt.NDArray[np.bool_]:
    try:
        kinds = [split_concept(target)[0] for target in targets]
    except StimulusError as error:
        expected = "concepts, ast__{node} or builtin__{name}"
        raise _bad_table("column target", expected, str(error.where)) from error
    return np.array([kind == "ast" for kind in kinds], dtype=np.bool_)


def _bad_table(where: str, expected: str, found: str) -> ArtifactError:
    return ArtifactError(
        "a target_checker table cannot be read",
        where=where,
        expected=expected,
        found=found,
        remedy="materialise target_checker again, or fetch the file again if it was downloaded",
    )
