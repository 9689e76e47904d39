"""Tables as parquet and CSV, held to their declared schema in both directions."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import polars as pl

from atlas_assets.errors import ArtifactError, unsound
from atlas_assets.files.locations import Source, content, label
from atlas_assets.stages.schema import Column, TableSchema
from atlas_assets.storage.codec import Codec, SidecarCodec
from atlas_assets.storage.provenance import Provenance

#: key of the provenance in a parquet file's key-value metadata
PARQUET_KEY = "atlas_provenance"

#: how the values of a column of numbers are digested
_NUMBERS = {
    pl.Int32: "<i4",
    pl.Int64: "<i8",
    pl.UInt32: "<u4",
    pl.Float32: "<f4",
    pl.Float64: "<f8",
    pl.Boolean: "|b1",
}
#: characters of a line of CSV at most; a line of very many fields takes much more memory than room
_LONGEST_LINE = 1 << 20
_TRUTH = {"True": True, "true": True, "False": False, "false": False}
# a damaged parquet file makes polars raise either; the second is no Exception
_POLARS_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError)


@dataclass(frozen=True)
class _TableFile(Codec[pl.DataFrame]):
    """What both formats share: tables that look as ``schema`` says."""

    holds = pl.DataFrame
    schema: TableSchema

    def check(self, value: pl.DataFrame, *, where: str) -> None:
        super().check(value, where=where)
        self.schema.check(value, where=where)

    def payload_digest(self, value: pl.DataFrame) -> str:
        return frame_digest(value)

    def describe(self, value: pl.DataFrame) -> dict[str, int | float | str]:
        return {"rows": value.height, "columns": value.width}

    def decode(self, source: Source, *, part: str | None = None) -> pl.DataFrame:  # noqa: ARG002
        frame = self._parse(content(source), label(source))
        self.schema.check(frame, where=label(source))
        return frame

    @abstractmethod
    def _parse(self, data: bytes, where: str) -> pl.DataFrame:
        """Parses the bytes of a file named ``where``; does not check the table's schema."""


@dataclass(frozen=True)
class ParquetTable(_TableFile):
    """A table as parquet (zstd); the provenance is in the file's key-value metadata."""

    kind = "parquet"

    def encode(self, value: pl.DataFrame, provenance: Provenance) -> bytes:
        """Return the bytes of a parquet file that holds the table and its provenance."""
        buffer = io.BytesIO()
        value.write_parquet(
            buffer, compression="zstd", metadata={PARQUET_KEY: provenance.to_json()}
        )
        return buffer.getvalue()

    def record(self, source: Source) -> Provenance | None:
        """Return the record in the file's key-value metadata; ``None`` if it has none."""
        where, data = label(source), io.BytesIO(content(source))
        with _parquet(where):
            record = pl.read_parquet_metadata(data).get(PARQUET_KEY)
        return None if record is None else Provenance.from_json(record, where=where)

    def _parse(self, data: bytes, where: str) -> pl.DataFrame:
        with _parquet(where):
            return pl.read_parquet(io.BytesIO(data))


@dataclass(frozen=True)
class CsvTable(SidecarCodec[pl.DataFrame], _TableFile):
    """A table as CSV, the way pandas writes it: UTF-8, ``\\n``, shortest decimals, True/False.

    The header of the column ``index`` is empty in the file, as pandas leaves that of an index.
    """

    index: str | None = None
    kind = "csv"

    def encode(self, value: pl.DataFrame, provenance: Provenance) -> bytes:  # noqa: ARG002
        """Return the bytes of a CSV file; an absent value is an empty field."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(["" if name == self.index else name for name in value.columns])
        writer.writerows(value.iter_rows())
        return buffer.getvalue().encode()

    def _parse(self, data: bytes, where: str) -> pl.DataFrame:
        rows = rows_of_csv(data, where)
        header = [self.index if name == "" and self.index else name for name in rows[0]]
        self.schema.check_columns(header, where=where)
        for number, row in enumerate(rows):
            if len(row) != len(header):
                place, expected = f"line {number + 1}", f"{len(header)} fields"
                raise _malformed(where, place, expected, f"{len(row)}")
        columns = self.schema.declared(header)
        fields: Sequence[Sequence[str]] = list(zip(*rows[1:], strict=True)) or [()] * len(header)
        return pl.DataFrame(
            [
                pl.Series(column.name, _values(texts, column, where), dtype=column.dtype)
                for column, texts in zip(columns, fields, strict=True)
            ]
        )


def rows_of_csv(data: bytes, where: str) -> list[list[str]]:
    """Return all rows of a CSV file, the header first; ArtifactError names ``where``."""
    try:
        # decoded as it is read: a text of its own would take up to four times the file's size
        # and without its mark, which Python's own decoder for it takes ten times as long to skip
        data = data.removeprefix(codecs.BOM_UTF8)
        text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="")
        rows = list(csv.reader(_lines(text), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _malformed(where, "the text", "CSV in UTF-8", str(error)) from error
    if not rows:
        raise _malformed(where, "line 1", "a header", "an empty file")
    return rows


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(_LONGEST_LINE + 1):
        if len(line) > _LONGEST_LINE:
            raise csv.Error(f"a line of more than {_LONGEST_LINE:,} characters")
        yield line


def _values(texts: Sequence[str], column: Column, where: str) -> list[object]:
    """The fields of a column as values of its declared type; an empty field is absent."""
    read = _VALUES.get(column.dtype, str)
    values: list[object] = []
    try:
        for text in texts:  # as a comprehension it would not say where it failed
            values.append(read(text) if text else None)  # noqa: PERF401
    except (ValueError, KeyError) as error:
        row = len(values)
        place = f"column {column.name!r}, row {row} (from 0)"
        raise _malformed(where, place, f"{column.dtype}", repr(texts[row])) from error
    return values


def _int64(text: str) -> int:
    number = int(text)
    if abs(number) >= 1 << 63:
        raise ValueError(text)
    return number


#: how a field is read, by the column's type; any other is text
_VALUES: dict[object, Callable[[str], object]] = {
    pl.Boolean(): _TRUTH.__getitem__,
    pl.Float64(): float,
    pl.Int64(): _int64,
}


def _malformed(where: str, place: str, expected: str, found: str) -> ArtifactError:
    return unsound("the CSV file is malformed", f"{where}, {place}", expected, found)


@contextmanager
def _parquet(where: str) -> Iterator[None]:
    """Turns what polars finds wrong with a parquet file into an error that names the file."""
    try:
        yield
    except _POLARS_ERRORS as error:
        found = (str(error).splitlines() or [type(error).__name__])[0]
        expected = "a complete parquet file"
        raise unsound("the parquet file is damaged", where, expected, found) from error


def frame_digest(frame: pl.DataFrame) -> str:
    """Return the SHA-256 (hex) over a table's column names, types and values, in order.

    It is equal exactly when those are, however a library lays the table out.

    Raises:
        TypeError: a column has a type that no table of an atlas has.
    """
    digest = hashlib.sha256(f"{frame.height}".encode())
    for column in frame.iter_columns():
        digest.update(f"\0{column.name}\0{column.dtype}\0".encode())
        _update(digest, column)
    return digest.hexdigest()


def _update(digest: hashlib._Hash, column: pl.Series) -> None:
    """Adds absent values, then lengths and content, so that no two columns look the same."""
    digest.update(column.is_null().to_numpy().tobytes())
    values = column.drop_nulls()
    if isinstance(values.dtype, pl.List):
        _update(digest, values.list.len())
        _update(digest, values.explode(empty_as_null=False))
    elif values.dtype == pl.String:
        _update(digest, values.str.len_bytes())
        digest.update(values.str.join().cast(pl.Binary).item())
    elif type(values.dtype) in _NUMBERS:
        array = values.to_numpy().astype(_NUMBERS[type(values.dtype)], copy=False)
        digest.update(np.ascontiguousarray(array).tobytes())
    else:
        raise TypeError(f"column {column.name!r} has type {column.dtype}, which no table has")
