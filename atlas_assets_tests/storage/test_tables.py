"""Parquet and CSV: round trips, other readers, bad input."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.schema import Column, TableSchema
from atlas_assets.storage.codecs import codec_of
from atlas_assets.storage.tables import PARQUET_KEY, CsvTable, ParquetTable, frame_digest
from atlas_assets_tests.storage.defects import refusing
from atlas_assets_tests.storage.samples import equal, provenance, record_of, sample

TABLES = sorted(key for key, artifact in ARTIFACTS.items() if artifact.schema)
CSVS = [key for key in TABLES if ARTIFACTS[key].kind == "csv"]
PARQUETS = [key for key in TABLES if ARTIFACTS[key].kind == "parquet"]
PROMPTS = sample("object_prompts")
NUMBERS = CsvTable(
    TableSchema(
        (
            Column("x", pl.Float64(), "a number", nullable=True),
            Column("n", pl.Int64(), "a whole number", nullable=True),
            Column("b", pl.Boolean(), "a truth value", nullable=True),
        ),
        key=("x", "n", "b"),
    )
)


def written(tmp_path: Path, key: str) -> Path:
    path, table = tmp_path / ARTIFACTS[key].filename, codec_of(ARTIFACTS[key])
    table.write(path, sample(key), record_of(table, sample(key), key))
    return path


@pytest.mark.parametrize("key", [key for key in CSVS if ARTIFACTS[key].schema.may_be_empty])
def test_a_table_without_rows_keeps_its_types(tmp_path: Path, key: str) -> None:
    table, empty = codec_of(ARTIFACTS[key]), sample(key).clear()
    table.write(tmp_path / "t.csv", empty, record_of(table, empty))
    assert equal(table.read(tmp_path / "t.csv")[0], empty)


@pytest.mark.parametrize("key", CSVS)
def test_pandas_would_write_the_same_csv(tmp_path: Path, key: str) -> None:
    frame = sample(key)
    as_pandas = pd.DataFrame({name: frame[name].to_list() for name in frame.columns})
    indexed = frame.columns[0] == "index"
    if indexed:
        as_pandas = as_pandas.set_index("index").rename_axis(None)
    assert written(tmp_path, key).read_text() == as_pandas.to_csv(index=indexed)


@pytest.mark.parametrize("key", PARQUETS)
def test_pyarrow_reads_the_parquet_and_finds_the_provenance(tmp_path: Path, key: str) -> None:
    path = written(tmp_path, key)
    table = pq.read_table(path)
    assert table.to_pylist() == sample(key).to_dicts()
    assert table.schema.metadata is None or PARQUET_KEY.encode() not in table.schema.metadata
    metadata = pq.read_metadata(path)
    assert b'"artifact":"' + key.encode() in metadata.metadata[PARQUET_KEY.encode()]
    assert metadata.row_group(0).column(0).compression == "ZSTD"


floats = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None)  # a busy machine is no failure
@given(
    rows=st.lists(
        st.tuples(
            floats | st.none(), st.integers(-(2**63) + 1, 2**63 - 1) | st.none(), st.booleans()
        ),
        unique=True,
    )
)
def test_csv_keeps_every_number(rows: list[tuple[float | None, int | None, bool]]) -> None:
    schema = {"x": pl.Float64, "n": pl.Int64, "b": pl.Boolean}
    frame = pl.DataFrame(rows, schema=schema, orient="row").unique()
    data = NUMBERS.encode(frame, provenance())
    assert NUMBERS.decode(data).equals(frame)


def test_csv_spells_numbers_as_pandas_does() -> None:
    frame = pl.DataFrame({"x": [0.1234, 1.0, 1e-05], "n": [1, 2, 3], "b": [True, False, None]})
    data = NUMBERS.encode(frame, provenance())
    assert data == b"x,n,b\n0.1234,1,True\n1.0,2,False\n1e-05,3,\n"


@settings(deadline=None)  # a busy machine is no failure
@given(
    text=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, unique=True
    )
)
def test_parquet_and_its_digest_keep_every_text(text: list[str]) -> None:
    table = ParquetTable(TableSchema((Column("t", pl.String(), "text"),), key=("t",)))
    frame = pl.DataFrame({"t": text})
    value, _ = table.read(table.encode(frame, record_of(table, frame)))
    assert value["t"].to_list() == text


@pytest.mark.parametrize(
    ("line", "where", "found"),
    [
        ("x,1,True", "column 'x', row 1", "'x'"),
        ("1.0,1.5,True", "column 'n', row 1", "'1.5'"),
        ("1.0,99999999999999999999,True", "column 'n', row 1", "9999"),
        ("1.0,1,yes", "column 'b', row 1", "'yes'"),
        ("1.0,1", "line 3", "2"),
        ("1.0,1,True,4", "line 3", "4"),
        ("nan,1,True", "column 'x', row 1", "nan"),
        ('"1.0,1,True', "the text", "unexpected end"),
        ("1," * 600_000, "the text", "a line of more than 1,048,576 characters"),
    ],
)
def test_a_malformed_csv_is_named_by_line(
    tmp_path: Path, line: str, where: str, found: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"x,n,b\n2.0,2,False\n{line}\n")
    with refusing(ArtifactError, f"{path}, {where}", found):
        NUMBERS.read(path)


def test_csv_headers_are_held_to_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for header in ("x,n", "x,n,b,extra", "n,x,b", ",n,b", "x,n,n"):
        path.write_text(f"{header}\n")
        with pytest.raises(ArtifactError, match=r"t\.csv"):
            NUMBERS.read(path)
    path.write_bytes(b"")
    with pytest.raises(ArtifactError, match="an empty file"):
        NUMBERS.read(path)
    path.write_bytes(b"x,n,b\n\xff\xfe,1,True\n")
    with pytest.raises(ArtifactError, match="UTF-8"):
        NUMBERS.read(path)


def test_csv_of_other_editors_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbfx,n,b\r\n2.0,2,False\r\n")
    value, record = NUMBERS.read(path)
    assert value.rows() == [(2.0, 2, False)]
    assert record is None


@pytest.mark.parametrize("key", PARQUETS)
def test_a_parquet_cut_short_is_damaged(tmp_path: Path, key: str) -> None:
    path = written(tmp_path, key)
    data = path.read_bytes()
    for length in (0, 3, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with refusing(ArtifactError, "parquet file is damaged", path):
            codec_of(ARTIFACTS[key]).read(path)


def test_no_flipped_byte_of_a_parquet_goes_unnoticed() -> None:
    table, frame = codec_of(ARTIFACTS["checker_prompts"]), sample("checker_prompts")
    data = table.encode(frame, record_of(table, frame))
    for position in range(4, len(data), 97):
        changed = bytearray(data)
        changed[position] ^= 0x40
        try:
            value, _ = table.read(bytes(changed))
        except ArtifactError:
            continue
        assert equal(value, frame), position  # a byte that carries no content


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        (PROMPTS.drop("token_length"), "column 'token_length'"),
        (pl.concat([PROMPTS, PROMPTS]), "row 4 (from 0)"),
        (PROMPTS.with_columns(sequence_loss=pl.lit(math.nan)), "column 'sequence_loss', row 0"),
    ],
)
def test_an_unsound_parquet_is_refused(tmp_path: Path, frame: pl.DataFrame, found: str) -> None:
    path = tmp_path / "11A_object_prompts.parquet"
    frame.write_parquet(path)
    with refusing(ArtifactError, found, path):
        codec_of(ARTIFACTS["object_prompts"]).read(path)


def test_content_that_is_not_what_was_recorded_is_refused() -> None:
    table = codec_of(ARTIFACTS["checker_prompts"])
    data = table.encode(sample("checker_prompts"), provenance(payload_sha256="ab" * 32))
    with pytest.raises(ArtifactError, match="not what was written"):
        table.read(data)


def test_the_digest_tells_tables_apart() -> None:
    frames = [
        pl.DataFrame({"a": [1, 2]}),
        pl.DataFrame({"a": [2, 1]}),
        pl.DataFrame({"b": [1, 2]}),
        pl.DataFrame({"a": [1.0, 2.0]}),
        pl.DataFrame({"a": [1, None]}),
        pl.DataFrame({"a": ["ab", "c"]}),
        pl.DataFrame({"a": ["a", "bc"]}),
        pl.DataFrame({"a": [[1], [2, 3]]}),
        pl.DataFrame({"a": [[1, 2], [3]]}),
        pl.DataFrame({"a": [[1, 2, 3], []]}),
        pl.DataFrame({"a": [True, False]}),
        pl.DataFrame({"a": []}, schema={"a": pl.Int64}),
    ]
    digests = [frame_digest(frame) for frame in frames]
    assert len(set(digests)) == len(frames)
    assert digests == [frame_digest(frame.rechunk()) for frame in frames]
    halves = pl.concat([frames[0].head(1), frames[0].tail(1)], rechunk=False)
    assert frame_digest(halves) == digests[0]
