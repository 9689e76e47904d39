"""The rows of a file of own prompts: parquet, CSV or JSON lines, whoever wrote it."""

from __future__ import annotations

import csv
import difflib
import io
import json
import stat
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from atlas_assets.errors import HEAD, AtlasError, StimulusError, require_downloaded
from atlas_assets.stages.prompts.own_text import text_of

MOST_BYTES, MOST_ROWS = 256 * 2**20, 1_000_000
#: what other programs put between columns
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
# a damaged parquet file makes polars raise either; the second is no Exception
POLARS_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError)
#: refuses bytes of a format that harm the process which reads them; see `judge_with`
_judge: Callable[[bytes, str], None] | None = None
_TEXT = (pl.String, pl.Categorical, pl.Enum)
_NUMBER = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
#: the types that a column of parquet may have; pandas writes numbers with gaps as decimals
_TYPES: Mapping[str, tuple[Any, ...]] = {
    "start": (*_NUMBER, pl.Float32, pl.Float64, pl.Null),
    "end": (*_NUMBER, pl.Float32, pl.Float64, pl.Null),
}


class Row(NamedTuple):
    """A row of a file.

    Attributes:
        number: Counted from 1, without a header.
        values: By column.
        line: The line of the file in which it begins, where that is another number.
    """

    number: int
    values: dict[str, Any]
    line: int | None = None

    def __str__(self) -> str:
        return f"row {self.number}" + (f" (line {self.line})" if self.line else "")


def judge_with(judge: Callable[[bytes, str], None]) -> None:
    """Let ``judge`` see the bytes of a user's parquet files before this process reads them.

    It is given the bytes and ``"parquet"``, and raises an AtlasError where they do harm. It is
    `storage.trust.require_harmless`, which a stage may not know of.
    """
    global _judge
    _judge = judge


def numbered_rows(path: Path, columns: Sequence[str], required: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a file.

    Rows of CSV are counted without the header and empty lines; of JSON lines, every line counts.

    Args:
        path: The file; its ending names the format.
        columns: All columns that it may have.
        required: Those that it must have.

    Raises:
        StimulusError: The file is not there, is too large, or is not of its format.
    """
    data = bytes_of(path, StimulusError, _refused)
    seen = 0
    for row in _FORMATS[path.suffix.lower()](data, path, columns, required):
        seen += 1
        if seen > MOST_ROWS:
            raise _refused(path, f"at most {MOST_ROWS:,} rows", "more")
        yield row
    if not seen:
        raise _refused(path, "at least one row", "none")


def bytes_of(
    path: Path, kind: type[AtlasError], refused: Callable[[object, str, str], AtlasError]
) -> bytes:
    """Return the bytes of a user's own file, which may be anything.

    Args:
        path: The file.
        kind: The error of a file that git-lfs has not downloaded.
        refused: Gives the error to raise else, of where, what is expected and what was found: the
            file is not there, no regular one, of more than `MOST_BYTES`, or cannot be read.
    """
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise refused(path, "a file", "a folder, a pipe or a device")
        if about.st_size > MOST_BYTES:
            raise refused(path, f"at most {MOST_BYTES:,} bytes", f"{about.st_size:,}")
        data = path.read_bytes()
    except OSError as error:
        raise refused(path, "a file that can be read", error.strerror or str(error)) from error
    require_downloaded(data[:HEAD], path, kind)
    return data


def parquet_of(
    data: bytes, path: Path, refused: Callable[[object, str, str], AtlasError]
) -> io.BytesIO:
    """Return a user's parquet to read it, or raise what `bytes_of` does: it harms its reader."""
    if _judge is not None:
        try:
            _judge(data, "parquet")
        except AtlasError as error:
            found = error.found or error.what
            raise refused(path, "a complete parquet file", found) from error
    return io.BytesIO(data)


def _from_csv(
    data: bytes, path: Path, columns: Sequence[str], required: Sequence[str]
) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text_of(data, path, _refused), newline=""), strict=True)
    header: list[str] = []
    number, line = 0, 1
    try:
        for fields in reader:
            row = Row(number, dict(zip(header, fields, strict=False)), line)
            line = reader.line_num + 1
            if not fields:  # an empty line
                continue
            if not header:
                where = f"{path}, line {row.line}"
                _require_commas(fields, where)
                _require_columns(fields, where, columns, required)
                header = fields
            elif len(fields) == len(header):
                yield row
            else:
                raise _wrong_width(fields, len(header), f"{path}, {row}")
            number += 1
    except csv.Error as error:
        where = str(Row(number, {}, line)) if header else f"line {line}"
        raise _no_csv(f"{path}, {where}", str(error)) from error
    if not header:
        expected = f"a line with the columns {' and '.join(required)}, and rows below it"
        raise _refused(path, expected, "an empty file")


def _require_commas(header: Sequence[str], where: str) -> None:
    """Refuse a header with what other programs put between columns, or before it."""
    text = ",".join(header)
    if text.lower().startswith("sep="):
        found = f"{text!r}, which a spreadsheet puts before it"
        raise _refused(where, "the names of the columns", found, "remove that line")
    for separator, name in _SEPARATORS.items():
        if len(header) == 1 and separator in text:
            remedy = "write the file with commas (spreadsheets call it CSV UTF-8, comma delimited)"
            found = f"{name} between columns: {text!r}"
            raise _refused(where, "commas between columns", found, remedy)


def _wrong_width(fields: Sequence[str], width: int, where: str) -> StimulusError:
    if len(fields) > width:
        remedy = (
            "put double quotes around a prompt that holds commas, and remove commas at the end of "
            "the row"
        )
    else:
        remedy = "give each row as many fields as the header has, empty ones too"
    cut = ", ".join(f"{field!r:.40}" for field in fields)
    return _refused(where, f"{width} fields, as the header has", f"{len(fields)}: {cut}", remedy)


def _no_csv(where: str, error: str) -> StimulusError:
    """Return the error of what Python's reader of CSV refuses, in words."""
    if "field limit" in error:
        expected = f"fields of at most {csv.field_size_limit():,} characters"
        remedy = "shorten the prompt, or close its quotes where it should end"
        return _refused(where, expected, "a longer one", remedy)
    remedy = "within double quotes, write a double quote of the text twice, and close them"
    if "unexpected end" in error:
        found = "a double quote that begins a field of this row, and none that ends it"
    elif "expected after" in error:
        found = "text after the double quote that ends a field"
    else:
        found = error
    expected = "CSV: a field without double quotes around it, or with two"
    return _refused(where, expected, found, remedy)


def _from_lines(
    data: bytes, path: Path, columns: Sequence[str], required: Sequence[str]
) -> Iterator[Row]:
    for number, line in enumerate(text_of(data, path, _refused).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, row {number}"
        try:
            row = json.loads(line, object_pairs_hook=_once_each)
        except json.JSONDecodeError as error:
            raise _no_object(f"{where}, character {error.colno}", error.msg) from error
        except (ValueError, RecursionError) as error:
            raise _no_object(where, str(error)) from error
        if not isinstance(row, dict):
            raise _no_object(where, type(row).__name__)
        _require_columns(list(row), where, columns, required)
        yield Row(number, row)


def _no_object(where: str, found: str) -> StimulusError:
    remedy = "write one JSON object a line, with nothing around or between them"
    return _refused(where, "a JSON object, whole on its line", found, remedy)


def _from_parquet(
    data: bytes, path: Path, columns: Sequence[str], required: Sequence[str]
) -> Iterator[Row]:
    file = parquet_of(data, path, _refused)
    try:
        schema = pl.read_parquet_schema(file)
        _require_columns(list(schema), path, columns, required)
        for name, dtype in schema.items():
            if not isinstance(dtype, _TYPES.get(name, (*_TEXT, pl.Null))):
                wanted = "whole numbers" if name in _TYPES else "text"
                raise _refused(f"{path}, column {name!r}", wanted, f"type {dtype}")
        height = pl.scan_parquet(file).select(pl.len()).collect().item()
        if height > MOST_ROWS:
            raise _refused(path, f"at most {MOST_ROWS:,} rows", f"{height:,}")
        frame = pl.read_parquet(file)
    except POLARS_ERRORS as error:
        found = (str(error).splitlines() or [type(error).__name__])[0]
        raise _refused(path, "a complete parquet file", found) from error
    for number, row in enumerate(frame.iter_rows(named=True), start=1):
        yield Row(number, row)


#: ending of a file's name → what reads its rows
_FORMATS: Mapping[str, Callable[..., Iterator[Row]]] = {
    ".parquet": _from_parquet,
    ".csv": _from_csv,
    ".jsonl": _from_lines,
    ".ndjson": _from_lines,
}


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise ValueError("a key occurs twice")
    return row


def _require_columns(
    present: Collection[str], where: object, columns: Sequence[str], required: Sequence[str]
) -> None:
    others = ", ".join(name for name in columns if name not in required)
    expected = f"the columns {' and '.join(required)}, and besides only {others}"
    among = ", ".join(f"{name!r:.40}" for name in present) or "none"
    for name in required:
        if name not in present:
            near = [one for one in present if _alike(one) == name]
            near = near or difflib.get_close_matches(name, present, n=1, cutoff=0.7)
            hint = f"; is it {near[0]!r:.40}?" if near else ""
            raise _refused(where, expected, f"no {name} among {among}{hint}")
    for number, name in enumerate(present, start=1):
        if not name.strip():
            remedy = "remove the column: row numbers as pandas writes them, or a comma at the end"
            raise _refused(where, expected, f"column {number} without a name", remedy)
        if name not in columns:
            near = difflib.get_close_matches(_alike(name), columns, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise _refused(where, expected, f"{name!r:.80}{hint}")
    if len(set(present)) != len(present):
        raise _refused(where, expected, f"a column twice: {among}")


def _alike(name: str) -> str:
    """A name of a column without what is easily added to it: blanks, capitals, quotes, marks."""
    return name.strip(" \t\ufeff'\"").replace(" ", "_").casefold()


def _refused(where: object, expected: str, found: str, remedy: str = "") -> StimulusError:
    correct = "correct the file that ATLAS_STIMULI names"
    more = "docs/own_prompts.md says what it holds"
    return StimulusError(
        "the own prompts cannot be read",
        where=str(where),
        expected=expected,
        found=f"{found:.300}",
        remedy=f"{correct}: {remedy}; {more}" if remedy else f"{correct}; {more}",
    )
