"""What a table must look like: columns, types, ranges, keys, and the check of all of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import polars as pl
from polars.datatypes import DataTypeClass

from atlas_assets.errors import ArtifactError, unsound

DType = pl.DataType | DataTypeClass
#: rows whose keys are compared at a time: to compare a million takes as much memory as they do
_AT_A_TIME = 2**17


@dataclass(frozen=True)
class Column:
    """One declared column of a table.

    Attributes:
        name: The published name of the column.
        dtype: The polars type of the column in memory.
        description: What the values are; the Dagster UI shows it.
        nullable: Whether values may be absent.
        minimum: The smallest value allowed.
        maximum: The largest value allowed.
        allowed: The only values allowed.
        pattern: A regular expression that every value matches.
    """

    name: str
    dtype: DType
    description: str
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] | None = None
    pattern: str | None = None


@dataclass(frozen=True, eq=False)
class Rule:
    """Something that holds in every row, across columns.

    Attributes:
        statement: What holds, for the error message.
        columns: The columns that the rule is about.
        holds: The expression that is true in a sound row.
    """

    statement: str
    columns: tuple[str, ...]
    holds: pl.Expr


@dataclass(frozen=True)
class TableSchema:
    """The declared shape of a table.

    Attributes:
        columns: The columns in published order.
        key: The columns whose values together are different in every row.
        series: The template of the numbered columns that follow, of which there is at least one
            (``L`` stands for L0, L1, …), or ``None``.
        rules: What holds in every row.
        may_be_empty: Whether a table without rows is sound (a cut grid leaves some).
        unnamed_in_csv: The column whose header is empty in a CSV file, as pandas leaves that of
            an index, or ``None``.
        own: The shape of the same table in an atlas of own prompts, where that is another one.
            Its columns are not all among these, which is how the two are told apart.
    """

    columns: tuple[Column, ...]
    key: tuple[str, ...]
    series: Column | None = None
    rules: tuple[Rule, ...] = ()
    may_be_empty: bool = True
    unnamed_in_csv: str | None = None
    own: TableSchema | None = None

    def of(self, present: Collection[str]) -> TableSchema:
        """Return the schema of a table with the columns ``present``: this one, or ``own``."""
        own = self.own
        return own if own and all(column.name in present for column in own.columns) else self

    @property
    def polars(self) -> pl.Schema:
        """The columns and their types without the numbered ones, to build a table with."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def declared(self, present: list[str]) -> tuple[Column, ...]:
        """All columns that a table with the columns ``present`` should have, numbered ones too."""
        schema = self.of(present)
        if schema is not self:
            return schema.declared(present)
        if self.series is None:
            return self.columns
        fixed = {column.name for column in self.columns}
        count = max(1, sum(name not in fixed for name in present))
        return (*self.columns, *(_numbered(self.series, number) for number in range(count)))

    def check(self, frame: pl.DataFrame, *, where: str) -> None:
        """Refuse a table, of the file or asset ``where``, that does not follow this schema.

        The ArtifactError names the column and the first row.
        """
        schema = self.of(frame.columns)
        if schema is not self:
            schema.check(frame, where=where)
            return
        columns = self.declared(frame.columns)
        self.check_columns(frame.columns, where=where)
        for column in columns:
            found = frame.schema[column.name]
            if found != column.dtype:
                raise _error(where, f"column {column.name!r}", f"type {column.dtype}", str(found))
        if frame.is_empty() and not self.may_be_empty:
            raise _error(where, "the table", "at least one row", "none")
        _check_values(frame, columns, where)
        ascends = all(
            frame.slice(start, _AT_A_TIME + 1).select(_ascends(self.key)).item()
            for start in range(0, max(frame.height - 1, 1), _AT_A_TIME)
        )
        row = None if ascends else _first_row(frame, ~pl.struct(self.key).is_first_distinct())
        if row is not None:
            values = ", ".join(f"{name}={frame[name][row]!r}" for name in self.key)
            expected = f"({', '.join(self.key)}) once each"
            raise _error(where, f"row {row} (from 0)", expected, f"again {values}")
        for rule in self.rules:
            row = _first_row(frame, rule.holds.not_().fill_null(value=True))
            if row is not None:
                values = ", ".join(f"{name}={_shown(frame[name][row])}" for name in rule.columns)
                raise _error(where, f"row {row} (from 0)", rule.statement, values)

    def check_columns(self, present: list[str], *, where: str) -> None:
        """Check the names and the order of a table's columns alone, as `check` does."""
        wanted = [column.name for column in self.declared(present)]
        for name in wanted:
            if name not in present:
                raise _error(where, f"column {name!r}", "a column of that name", _listed(present))
        for name in present:
            if name not in wanted:
                raise _error(where, f"column {name!r}", f"only {_listed(wanted)}", "one more")
        if present != wanted:
            raise _error(where, "order of the columns", _listed(wanted), _listed(present))


def _ascends(key: tuple[str, ...]) -> pl.Expr:
    """Whether every row is above the one before by the columns ``key``, so that none is twice."""
    above, alike = pl.lit(value=False), pl.lit(value=True)
    for name in key:
        value, before = pl.col(name), pl.col(name).shift(1)
        above |= alike & (value > before)
        alike &= value == before
    return above.slice(1).all(ignore_nulls=False).fill_null(value=False)


def _first_row(frame: pl.DataFrame, broken: pl.Expr) -> int | None:
    found = frame.select(broken).to_series()
    return found.arg_max() if found.any() else None


def _check_values(frame: pl.DataFrame, columns: tuple[Column, ...], where: str) -> None:
    conditions = [
        (column.name, expected, broken.fill_null(value=False))
        for column in columns
        for expected, broken in _conditions(column)
    ]
    # one query over all columns; the row is looked for only where a value is not sound
    found = frame.select(
        broken.any().alias(str(number)) for number, (_, _, broken) in enumerate(conditions)
    )
    for (name, expected, broken), anywhere in zip(conditions, found.row(0), strict=True):
        row = _first_row(frame, broken) if anywhere else None
        if row is not None:
            place = f"column {name!r}, row {row} (from 0)"
            raise _error(where, place, expected, _shown(frame[name][row]))


def _conditions(column: Column) -> list[tuple[str, pl.Expr]]:
    """Return the requirements on each value in words, with an expression for their violation."""
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
        matches = value.str.contains(column.pattern)
        conditions.append((f"text like {column.pattern}", matches.not_()))
    return conditions


def _numbered(template: Column, number: int) -> Column:
    description = template.description.format(number)
    return replace(template, name=f"{template.name}{number}", description=description)


def _shown(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _listed(names: list[str]) -> str:
    return f"columns {', '.join(names) or 'none'}"


def _error(where: str, place: str, expected: str, found: str) -> ArtifactError:
    return unsound("the table does not follow its schema", f"{where}, {place}", expected, found)
