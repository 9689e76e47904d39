"""What a table must look like: columns, types, ranges, keys, and the check of all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl
from polars.datatypes import DataTypeClass

from atlas_assets.errors import ArtifactError

DType = pl.DataType | DataTypeClass

_REMEDY = "materialise the table again, or fetch it again; tables are not meant to be edited"


@dataclass(frozen=True)
class Column:
    """One declared column.

    Attributes:
        name: as published.
        dtype: polars type in memory.
        description: shown in the Dagster UI.
        nullable: whether values may be absent.
        minimum: smallest value allowed, included.
        maximum: largest value allowed, included.
        allowed: the only values allowed.
        pattern: regular expression that every value matches.
    """

    name: str
    dtype: DType
    description: str
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] | None = None
    pattern: str | None = None


@dataclass(frozen=True)
class Rule:
    """Something that holds in every row, across columns.

    Attributes:
        statement: what holds, for the error message.
        columns: the columns it speaks of.
        holds: makes the expression that is true where it does.
    """

    statement: str
    columns: tuple[str, ...]
    holds: Callable[[], pl.Expr]


@dataclass(frozen=True)
class TableSchema:
    """The declared shape of a table.

    Attributes:
        columns: in published order.
        key: columns whose values together are different in every row.
        series: template of the numbered columns that follow (``L`` → L0, L1, …; at least one), or
            ``None``.
        rules: what holds in every row.
        may_be_empty: whether a table without rows is sound (a cut grid leaves some).
        unnamed_in_csv: the column whose header is empty in a CSV file, as pandas leaves that of
            an index; ``None`` where every column has its header.
    """

    columns: tuple[Column, ...]
    key: tuple[str, ...]
    series: Column | None = None
    rules: tuple[Rule, ...] = ()
    may_be_empty: bool = True
    unnamed_in_csv: str | None = None

    @property
    def polars(self) -> pl.Schema:
        """The columns and their types, without numbered ones: what a table is built with."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def declared(self, present: list[str]) -> tuple[Column, ...]:
        """All columns that a table with the columns ``present`` should have, numbered ones too."""
        if self.series is None:
            return self.columns
        fixed = {column.name for column in self.columns}
        count = max(1, sum(name not in fixed for name in present))
        return (*self.columns, *(_numbered(self.series, number) for number in range(count)))

    def check(self, frame: pl.DataFrame, *, where: str) -> None:
        """Checks a table against this schema.

        Args:
            frame: the table.
            where: the file (or asset) it belongs to, for the error message.

        Raises:
            ArtifactError: names the file, the column and the first offending row.
        """
        columns = self.declared(frame.columns)
        self.check_columns(frame.columns, where=where)
        for column in columns:
            found = frame.schema[column.name]
            if found != column.dtype:
                raise _error(where, f"column {column.name!r}", f"type {column.dtype}", str(found))
        if frame.is_empty() and not self.may_be_empty:
            raise _error(where, "the table", "at least one row", "none")
        for column in _with_broken_values(frame, columns):
            _check_values(frame, column, where)
        self._check_key(frame, where)
        for rule in self.rules:
            self._check_rule(frame, rule, where)

    def check_columns(self, present: list[str], *, where: str) -> None:
        """Checks names and order of the columns alone.

        Raises:
            ArtifactError: a column is missing, is one too many, or stands in another place.
        """
        wanted = [column.name for column in self.declared(present)]
        for name in wanted:
            if name not in present:
                raise _error(where, f"column {name!r}", "a column of that name", _listed(present))
        for name in present:
            if name not in wanted:
                raise _error(where, f"column {name!r}", f"only {_listed(wanted)}", "one more")
        if present != wanted:
            raise _error(where, "order of the columns", _listed(wanted), _listed(present))

    def _check_key(self, frame: pl.DataFrame, where: str) -> None:
        again = frame.select(pl.struct(self.key).is_first_distinct().not_()).to_series()
        row = again.arg_max() if again.any() else None
        if row is not None:
            values = ", ".join(f"{name}={frame[name][row]!r}" for name in self.key)
            raise _error(
                where,
                f"row {row} (from 0)",
                f"({', '.join(self.key)}) once each",
                f"again {values}",
            )

    def _check_rule(self, frame: pl.DataFrame, rule: Rule, where: str) -> None:
        broken = frame.select(rule.holds().not_().fill_null(value=True)).to_series()
        if broken.any():
            row = int(broken.arg_max() or 0)
            values = ", ".join(f"{name}={_shown(frame[name][row])}" for name in rule.columns)
            raise _error(where, f"row {row} (from 0)", rule.statement, values)


def _with_broken_values(frame: pl.DataFrame, columns: tuple[Column, ...]) -> list[Column]:
    """The columns in which a value is not what it must be, from one query over all of them."""
    conditions = {column.name: _conditions(column) for column in columns}
    broken = frame.select(
        pl.any_horizontal(broken.fill_null(value=False).any() for _, broken in of_column).alias(
            name
        )
        for name, of_column in conditions.items()
        if of_column
    )
    found = broken.row(0, named=True) if broken.width else {}
    return [column for column in columns if found.get(column.name)]


def _check_values(frame: pl.DataFrame, column: Column, where: str) -> None:
    values = frame[column.name]
    for expected, broken in _conditions(column):
        offending = values.to_frame().select(broken.fill_null(value=False)).to_series()
        if offending.any():
            row = int(offending.arg_max() or 0)
            place = f"column {column.name!r}, row {row} (from 0)"
            raise _error(where, place, expected, _shown(values[row]))


def _conditions(column: Column) -> list[tuple[str, pl.Expr]]:
    """What each value must be, with the expression that is true where it is not."""
    value = pl.col(column.name)
    conditions: list[tuple[str, pl.Expr]] = []
    if not column.nullable:
        conditions.append(("a value", value.is_null()))
    if column.dtype in (pl.Float64, pl.Float32):
        conditions.append(("a finite number", value.is_finite().not_()))
    if column.minimum is not None:
        conditions.append((f"at least {column.minimum:g}", value < column.minimum))
    if column.maximum is not None:
        conditions.append((f"at most {column.maximum:g}", value > column.maximum))
    if column.allowed is not None:
        conditions.append((" or ".join(column.allowed), value.is_in(column.allowed).not_()))
    if column.pattern is not None:
        conditions.append(
            (f"text like {column.pattern}", value.str.contains(column.pattern).not_())
        )
    return conditions


def _numbered(template: Column, number: int) -> Column:
    fields = {name: getattr(template, name) for name in Column.__dataclass_fields__}
    return Column(
        **{
            **fields,
            "name": f"{template.name}{number}",
            "description": template.description.format(number),
        }
    )


def _shown(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _listed(names: list[str]) -> str:
    return f"columns {', '.join(names) or 'none'}"


def _error(where: str, place: str, expected: str, found: str) -> ArtifactError:
    return ArtifactError(
        "the table does not follow its schema",
        where=f"{where}, {place}",
        expected=expected,
        found=found,
        remedy=_REMEDY,
    )
