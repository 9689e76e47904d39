"""A table as readers see it: text in every cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

Cell = str | int | float | None
#: rows of a ranking that is shown from its top
TOP = 20
#: rows of each end of a ranking that is shown from both
FEW = 10
#: what the circuits of one type are called in headers
TYPE_NAMES = {"pair": "pairs", "ast": "AST nodes", "builtin": "builtins", "own": "concepts"}


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes:
        caption: What the table shows.
        columns: The headers; the first column names the rows.
        rows: The text of the cells, one per column.
        numeric: The positions of the columns that hold numbers.
        note: What else a reader has to know.
        folded: Whether the table is shown only when asked for.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    note: str = ""
    folded: bool = False


def table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    note: str = "",
    folded: bool = False,
    places: int = 4,
    places_of: Mapping[str, int] | None = None,
) -> Table:
    """Return a `Table` of values: numbers are written alike and set flush right.

    Args:
        caption, columns, note, folded: As in `Table`.
        rows: The values; an absent one is shown as a dash.
        places: The decimals of numbers that are not whole.
        places_of: The same for single columns, by header.
    """
    values = [tuple(row) for row in rows]
    numeric = frozenset(
        i
        for i in range(len(columns))
        if any(isinstance(row[i], int | float) for row in values)
        and not any(isinstance(row[i], str) for row in values)
    )
    decimals = [(places_of or {}).get(column, places) for column in columns]
    shown = tuple(
        tuple(show(cell, to) for cell, to in zip(row, decimals, strict=True)) for row in values
    )
    return Table(caption, tuple(columns), shown, numeric, note, folded)


def table_by_layer(
    caption: str,
    values: Mapping[tuple[int, str], Sequence[Cell]],
    measures: Sequence[str],
    *,
    note: str = "",
    places: int = 4,
) -> Table:
    """Return a table of a row per layer, and of the same measures of each type of circuit.

    The values are those of a layer and type (``pair``, ``ast``, ``builtin``); each of the headers
    ``measures`` follows the name of its type. The rest is as for `table`.
    """
    kinds = [kind for kind in TYPE_NAMES if any(kind == found for _, found in values)]
    columns = [f"{TYPE_NAMES[kind]}, {measure}" for kind in kinds for measure in measures]
    rows: list[list[Cell]] = [
        [f"layer {layer}", *(value for kind in kinds for value in values[layer, kind])]
        for layer in sorted({layer for layer, _ in values})
    ]
    return table(caption, ["layer", *columns], rows, note=note, places=places)


def both_ends(ranking: pl.DataFrame) -> pl.DataFrame:
    """Return the first and the last rows of a ranking that has more than `TOP`, else all."""
    return ranking if ranking.height <= TOP else pl.concat([ranking[:FEW], ranking[-FEW:]])


def show(value: Cell, places: int = 4) -> str:
    """Return a value as text: thousands separated, ``places`` decimals; a dash for ``None``."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.{places}f}"
    return f"{value:,}" if isinstance(value, int) else value
