"""Tables as parquet and CSV, held to their declared schema in both directions."""

from __future__ import annotations

import csv
import io
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from atlas_assets.errors import ArtifactError
from atlas_assets.files.locations import Source, content, label
from atlas_assets.stages.schema import Column, TableSchema
from atlas_assets.storage.codec import Codec, SidecarCodec, instance_of
from atlas_assets.storage.frame_digest import frame_digest
from atlas_assets.storage.provenance import Provenance

#: key of the provenance in a parquet file's key-value metadata
PARQUET_KEY = "atlas_provenance"

_TRUTH = {"True": True, "true": True, "False": False, "false": False}
# a damaged parquet file makes polars raise either; the second is no Exception
_POLARS_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError)


@dataclass(frozen=True)
class _TableFile(Codec[pl.DataFrame]):
    """What both formats share.

    Attributes:
        schema: what the table must look like.
    """

    schema: TableSchema

    def check(self, value: pl.DataFrame, *, where: str) -> None:
        """Requires a table that follows the declared schema."""
        instance_of(value, pl.DataFrame, where=where)
        self.schema.check(value, where=where)

    def payload_digest(self, value: pl.DataFrame) -> str:
        """SHA-256 (hex) over columns, types and values."""
        return frame_digest(value)

    def describe(self, value: pl.DataFrame) -> dict[str, int | float | str]:
        """Numbers of rows and columns."""
        return {"rows": value.height, "columns": value.width}

    def decode(self, source: Source, *, part: str | None = None) -> pl.DataFrame:  # noqa: ARG002
        """Reads the table of a file and checks it against the schema."""
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
        """Returns the bytes of a parquet file that holds the table and its provenance."""
        buffer = io.BytesIO()
        value.write_parquet(
            buffer, compression="zstd", metadata={PARQUET_KEY: provenance.to_json()}
        )
        return buffer.getvalue()

    def provenance(self, source: Source) -> Provenance | None:
        """The provenance record in the file's key-value metadata; ``None`` if it has none."""
        where, data = label(source), content(source)
        try:
            record = pl.read_parquet_metadata(io.BytesIO(data)).get(PARQUET_KEY)
        except _POLARS_ERRORS as error:
            raise _not_parquet(where, error) from error
        return None if record is None else Provenance.from_json(record, where=where)

    def _parse(self, data: bytes, where: str) -> pl.DataFrame:
        try:
            return pl.read_parquet(io.BytesIO(data))
        except _POLARS_ERRORS as error:
            raise _not_parquet(where, error) from error


@dataclass(frozen=True)
class CsvTable(SidecarCodec[pl.DataFrame], _TableFile):
    """A table as CSV, the way pandas writes it: UTF-8, ``\\n``, shortest decimals, True/False.

    The provenance lies beside the file (`atlas_assets.storage.sidecar`).

    Attributes:
        index: column whose header is empty in the file, as pandas leaves that of an index.
    """

    index: str | None = None
    kind = "csv"

    def encode(self, value: pl.DataFrame, provenance: Provenance) -> bytes:  # noqa: ARG002
        """Returns the bytes of a CSV file; an absent value is an empty field."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(["" if name == self.index else name for name in value.columns])
        writer.writerows(value.iter_rows())
        return buffer.getvalue().encode()

    def _parse(self, data: bytes, where: str) -> pl.DataFrame:
        rows = _rows(data, where)
        header = [self.index if name == "" and self.index else name for name in rows[0]]
        self.schema.check_columns(header, where=where)
        for number, row in enumerate(rows):
            if len(row) != len(header):
                raise _malformed(
                    where, f"line {number + 1}", f"{len(header)} fields", f"{len(row)}"
                )
        columns = self.schema.declared(header)
        fields: Sequence[Sequence[str]] = list(zip(*rows[1:], strict=True)) or [()] * len(header)
        return pl.DataFrame(
            [
                pl.Series(column.name, _values(texts, column, where), dtype=column.dtype)
                for column, texts in zip(columns, fields, strict=True)
            ]
        )


def _rows(data: bytes, where: str) -> list[list[str]]:
    try:
        rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _malformed(where, "the text", "CSV in UTF-8", str(error)) from error
    if not rows:
        raise _malformed(where, "line 1", "a header", "an empty file")
    return rows


def _values(texts: Sequence[str], column: Column, where: str) -> list[object]:
    """The fields of a column as values of its declared type; an empty field is absent."""
    value = _VALUES.get(column.dtype, str)
    try:
        return [value(text) if text else None for text in texts]
    except (ValueError, KeyError) as error:
        row = next(row for row, text in enumerate(texts) if text and not _is_read(value, text))
        place = f"column {column.name!r}, row {row} (from 0)"
        raise _malformed(where, place, f"{column.dtype}", repr(texts[row])) from error


def _is_read(value: Callable[[str], object], text: str) -> bool:
    try:
        value(text)
    except (ValueError, KeyError):
        return False
    return True


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
    return ArtifactError(
        "the CSV file is malformed",
        where=f"{where}, {place}",
        expected=expected,
        found=found,
        remedy="materialise the table again, or fetch it again",
    )


def _not_parquet(where: str, error: BaseException) -> ArtifactError:
    return ArtifactError(
        "the parquet file is damaged",
        where=where,
        expected="a complete parquet file",
        found=(str(error).splitlines() or [type(error).__name__])[0],
        remedy="materialise the table again, or fetch it again",
    )
