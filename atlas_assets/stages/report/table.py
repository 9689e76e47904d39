"""A table as readers see it: text in every cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Cell = str | int | float | None
#: rows of a ranking that is shown from its top
TOP = 20
#: rows of each end of a ranking that is shown from both
FEW = 10
#: what the circuits of one type are called in headers
TYPE_NAMES = {"pair": "pairs", "ast": "AST nodes", "builtin": "builtins"}
#: the layer of the published numbers; shallower models show their last one
_LAYER = 4


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes:
        caption: what it shows.
        columns: headers; the first column names the rows.
        rows: text, one cell per column.
        numeric: positions of the columns that hold numbers.
        note: what else a reader has to know.
        folded: whether it is shown only when asked for.
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
    """A table of values: numbers are written alike and set flush right.

    Args:
        caption: what it shows.
        columns: headers.
        rows: values; an absent one is shown as a dash.
        note: what else a reader has to know.
        folded: whether it is shown only when asked for.
        places: decimals of numbers that are not whole.
        places_of: the same for single columns, by header.
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


def show(value: Cell, places: int = 4) -> str:
    """A value as text: thousands separated, ``places`` decimals, a dash for what is absent."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.{places}f}"
    return f"{value:,}" if isinstance(value, int) else value


def layer_shown(n_layers: int) -> int:
    """The layer of the published numbers, or the last one of a shallower model."""
    return max(min(_LAYER, n_layers - 1), 0)
