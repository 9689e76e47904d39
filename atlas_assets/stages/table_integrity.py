"""Whether tables say what follows from the masks and tables they are computed from.

Each function raises ArtifactError at the first cell or row that does not, and returns how many it
compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.masks.masks import Masks, require_same_layers

Counts = npt.NDArray[np.int64]


def circuits_add_up(cells: Counts, names: Sequence[str], universal: Masks, checker: Masks) -> int:
    """co, sh and to are the sizes of A∖B, A∩B and B∖A, and A∖B ∪ A∩B = A.

    Args:
        cells: int64 ``[names, layers, 3]``: co, sh, to as a table states them.
        names: the concepts of its rows.
        universal: masks A; may hold more concepts.
        checker: masks B; may hold concepts without a universal mask.

    Returns:
        The number of cells.
    """
    require_same_layers(universal, checker, "universal masks", "checker masks")
    # a concept that lost all its pairs to the loss filter has a checker mask and no universal one
    wanted = sorted(set(checker.names) & set(universal.names))
    if sorted(names) != wanted:
        found = ", ".join(sorted(set(names) ^ set(wanted))) or "some of them twice"
        unsound("concepts", "those with a universal and a checker mask, once each", found)
    a = universal.bits[[universal.index(name) for name in names]]
    b = checker.bits[[checker.index(name) for name in names]]
    expected = np.stack(
        [np.count_nonzero(part, axis=-1) for part in (a & ~b, a & b, b & ~a)], axis=-1
    )
    if cells.shape != expected.shape:
        unsound("layers", f"{expected.shape[1]} layers", f"{cells.shape[1]}")
    sizes = np.count_nonzero(a, axis=-1)
    for row, layer in np.argwhere(cells[..., 0] + cells[..., 1] != sizes)[:1]:
        where = f"{names[row]}, layer {layer}"
        stated = f"{cells[row, layer, 0]} + {cells[row, layer, 1]}"
        unsound(where, f"|A∖B| + |A∩B| = |A| = {sizes[row, layer]}", stated)
    for row, layer in np.argwhere((cells != expected).any(axis=-1))[:1]:
        counts, stated = (
            " / ".join(map(str, values[row, layer].tolist())) for values in (expected, cells)
        )
        unsound(f"{names[row]}, layer {layer}", f"{counts}, as the masks have it", stated)
    return int(cells.shape[0] * cells.shape[1])


def rows_cover(table: pl.DataFrame, axes: Mapping[str, Sequence[object]]) -> int:
    """A table has one row for every combination of the values of some columns, and no other.

    Args:
        table: any.
        axes: column → its values.

    Returns:
        The number of rows.
    """
    wanted = 1
    for column, values in axes.items():
        wanted *= len(set(values))
        differing = set(table[column].to_list()) ^ set(values)
        if differing:
            value = min(map(str, differing))
            unsound(f"column {column}", f"{len(set(values))} values, each once", f"but for {value}")
    rows = table.select(list(axes)).unique().height
    if table.height != wanted or rows != wanted:
        unsound("rows", f"{wanted}, all different", f"{table.height}, {rows} different")
    return wanted


def tables_agree(
    stated: pl.DataFrame,
    recomputed: pl.DataFrame,
    key: Sequence[str],
    *,
    one_decimal: Sequence[str] = (),
) -> int:
    """A table says what follows from its inputs, but for one unit of the last decimal it prints.

    Args:
        stated: as it lies on disk.
        recomputed: from its inputs.
        key: columns that identify a row.
        one_decimal: columns that print one decimal; the others print four.

    Returns:
        The number of rows.
    """
    columns = recomputed.columns
    if stated.columns != columns or stated.height != recomputed.height:
        found = f"{stated.height} rows of {', '.join(stated.columns)}"
        unsound("the table", f"{recomputed.height} rows of {', '.join(columns)}", found)
    left, right = stated.sort(key), recomputed.sort(key)
    for column in columns:
        # a tie may be rounded either way
        slack = 0.101 if column in one_decimal else 1.01e-4
        for row, (one, other) in enumerate(zip(left[column], right[column], strict=True)):
            if not _agree(one, other, slack):
                where = ", ".join(f"{name}={left[name][row]}" for name in key)
                unsound(f"{where}, column {column}", f"{other}, as its inputs have it", f"{one}")
    return stated.height


def _agree(one: object, other: object, slack: float) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= slack
    return one == other


def unsound(where: str, expected: str, found: str) -> NoReturn:
    """Refuses a table that is not what its inputs say (ArtifactError)."""
    raise ArtifactError(
        "the table contradicts what it is computed from",
        where=where,
        expected=expected,
        found=found,
        remedy="materialise the table again, or fetch the file again if it was downloaded",
    )
