"""Rows of parquet, CSV and JSON lines, whoever wrote them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from atlas_assets.errors import StimulusError
from atlas_assets.stages.prompts import own_file

COLUMNS, REQUIRED = ("concept", "prompt_text", "start"), ("concept", "prompt_text")


def rows(path: Path) -> list[own_file.Row]:
    return list(own_file.numbered_rows(path, COLUMNS, REQUIRED))


def refused(path: Path) -> str:
    with pytest.raises(StimulusError) as raised:
        rows(path)
    assert str(path) in str(raised.value)
    assert len(str(raised.value)) < 900
    return str(raised.value)


def test_csv_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "P.CSV"
    path.write_bytes('\ufeffprompt_text,concept\r\n"a ""b"",\r\nc",d\r\n'.encode())
    assert rows(path) == [(1, {"prompt_text": 'a "b",\r\nc', "concept": "d"}, 2)]


def test_numbers_as_pandas_writes_them_and_categories_are_read(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    frame = pl.DataFrame({"concept": ["a", "b"], "prompt_text": ["x", "y"], "start": [1.0, None]})
    frame.with_columns(pl.col("concept").cast(pl.Categorical)).write_parquet(path)
    assert rows(path)[0].values == {"concept": "a", "prompt_text": "x", "start": 1.0}


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("p.csv", b"", "found: an empty file"),
        ("p.csv", b"concept;prompt_text\n", "semicolons between columns: 'concept;prompt_text'"),
        ("p.csv", b"concept,prompt_text\n", "expected: at least one row"),
        ("p.csv", b"concept,prompt_text,stat\n", "'stat'; did you mean start?"),
        ("p.csv", b"concept,prompt_text,concept\n", "a column twice"),
        ("p.csv", b"concept,prompt_text\na,b\nc\n", "row 2 (line 3)\n  expected: 2 fields"),
        ("p.csv", b'concept,prompt_text\na,"b\n', "none that ends it"),
        ("p.csv", b"concept,prompt_text\na," + b"x" * 200_000, "at most 131,072 characters"),
        (
            "p.csv",
            b"concept,prompt_text\na,b\nc,\xff\n",
            "line 3, character 3\n  expected: text in UTF-8\n  found: the byte 0xFF",
        ),
        ("p.csv", b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        ("p.jsonl", b'\n{"concept": "a"}\n', "row 2\n  expected: the columns"),
        ("p.jsonl", b"[1]\n", "row 1\n  expected: a JSON object, whole on its line\n  found: list"),
        ("p.jsonl", b"{", "row 1, character 2\n  expected: a JSON object"),
        ("p.jsonl", b'{"concept": "a", "concept": "b"}', "a key occurs twice"),
        ("p.jsonl", b"[" * 100_000, "row 1\n  expected: a JSON object"),
        ("p.parquet", b"PAR1" + b"\0" * 40 + b"PAR1", "a complete parquet file"),
        ("p.parquet", b"", "a complete parquet file"),
    ],
)
def test_what_is_not_of_its_format_is_refused(
    tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert said in refused(path)


def test_columns_of_parquet_have_their_types(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    for frame, said in (
        ({"concept": [1], "prompt_text": ["x"]}, "column 'concept'\n  expected: text"),
        ({"concept": ["a"], "prompt_text": [b"x"]}, "column 'prompt_text'\n  expected: text"),
        (
            {"concept": ["a"], "prompt_text": ["x"], "start": ["1"]},
            "column 'start'\n  expected: whole numbers",
        ),
    ):
        pl.DataFrame(frame).write_parquet(path)
        assert said in refused(path)


def test_what_is_no_file_or_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    assert "a folder, a pipe or a device" in refused(folder)
    assert "No such file" in refused(tmp_path / "none.csv")
    path = tmp_path / "p.csv"
    path.write_text("concept,prompt_text\na,b\nc,d\n")
    monkeypatch.setattr(own_file, "MOST_ROWS", 1)
    assert "at most 1 rows" in refused(path)
    monkeypatch.setattr(own_file, "MOST_BYTES", 10)
    assert "at most 10 bytes" in refused(path)
