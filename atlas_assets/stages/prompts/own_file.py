"""The rows of a file of own prompts: parquet, CSV or JSON lines, whoever wrote it."""

from __future__ import annotations

import csv
import difflib
import io
import json
import stat
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from atlas_assets.errors import HEAD, AtlasError, StimulusError, require_downloaded

MOST_BYTES, MOST_ROWS = 256 * 2**20, 1_000_000
#: a number, counted from 1, and the values of a row by column
Row = tuple[int, dict[str, Any]]
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


def judge_with(judge: Callable[[bytes, str], None]) -> None:
    """Let ``judge`` see the bytes of a user's parquet files before this process reads them.

    It is given the bytes and ``"parquet"``, and raises an AtlasError where they do harm. It is
    `storage.trust.require_harmless`, which a stage may not know of.
    """
    global _judge
    _judge = judge


def numbered_rows(path: Path, columns: Sequence[str], required: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a file with their numbers, the first being 1.

    Rows of CSV are counted without the header; of JSON lines, every line counts.

    Args:
        path: The file; its ending names the format.
        columns: All columns that it may have.
        required: Those that it must have.

    Raises:
        StimulusError: The file is not there, is too large, or is not of its format.
    """
    data = bytes_of(path, StimulusError, _refused)
    seen = 0
    for number, row in _FORMATS[path.suffix.lower()](data, path, columns, required):
        seen += 1
        if seen > MOST_ROWS:
            raise _refused(path, f"at most {MOST_ROWS:,} rows", "more")
        yield number, row
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
    text = _decoded(data, path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 0
    try:
        header = next(reader, [])
        _require_columns(header, path, columns, required)
        for number, fields in enumerate(reader, start=1):
            if len(fields) != len(header):
                expected = f"{len(header)} fields, as the header has"
                raise _refused(f"{path}, row {number}", expected, f"{len(fields)}")
            yield number, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise _refused(f"{path}, row {number + 1}", "CSV", str(error)) from error


def _from_lines(
    data: bytes, path: Path, columns: Sequence[str], required: Sequence[str]
) -> Iterator[Row]:
    for number, line in enumerate(_decoded(data, path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, row {number}"
        try:
            row = json.loads(line, object_pairs_hook=_once_each)
        except (ValueError, RecursionError) as error:
            raise _refused(where, "a JSON object", str(error)) from error
        if not isinstance(row, dict):
            raise _refused(where, "a JSON object", type(row).__name__)
        _require_columns(list(row), where, columns, required)
        yield number, row


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
    yield from enumerate(frame.iter_rows(named=True), start=1)


#: ending of a file's name → what reads its rows
_FORMATS: Mapping[str, Callable[..., Iterator[Row]]] = {
    ".parquet": _from_parquet,
    ".csv": _from_csv,
    ".jsonl": _from_lines,
    ".ndjson": _from_lines,
}


def _decoded(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _refused(path, "text in UTF-8", f"other bytes in line {line}") from error


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
    for name in required:
        if name not in present:
            raise _refused(where, expected, f"no {name} among {', '.join(present) or 'none'}")
    for name in present:
        if name not in columns:
            near = difflib.get_close_matches(name, columns, n=1)
            raise _refused(
                where, expected, f"{name!r:.80}" + (f"; did you mean {near[0]}?" if near else "")
            )
    if len(set(present)) != len(present):
        raise _refused(where, expected, f"a column twice: {', '.join(present)}")


def _refused(where: object, expected: str, found: str) -> StimulusError:
    return StimulusError(
        "the own prompts cannot be read",
        where=str(where),
        expected=expected,
        found=f"{found:.300}",
        remedy="correct the file that ATLAS_STIMULI names; docs/own_prompts.md says what it holds",
    )
