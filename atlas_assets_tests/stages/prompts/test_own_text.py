"""CSV and JSON lines as other programs write them: read exactly, or refused in words."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from atlas_assets.errors import AtlasError, SettingsError, StimulusError
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.prompts import own_prompts

HEADER = "concept,unit,prompt_text\n"
PLAIN = HEADER + "a,u,one\nb,u,two\n"
TWO = [("a", "u", "one"), ("b", "u", "two")]
SQL = HEADER + 'a,u,"one, ""two""\nthree"\n'
LINE = '{"concept": "a", "unit": "u", "prompt_text": "one"}'


def read(path: Path) -> list[tuple[str, str, str]]:
    settings = AtlasSettings.build(stimuli=str(path))
    assert settings.stimuli is not None
    found = own_prompts.read(Path(settings.stimuli))
    return [(row.concept, row.unit, row.prompt) for row in found.rows]


@pytest.mark.parametrize(
    ("name", "data", "wanted"),
    [
        ("p.csv", PLAIN.encode(), TWO),
        ("P.CSV", PLAIN.encode("utf-8-sig"), TWO),
        ("p.csv", PLAIN.replace("\n", "\r\n").encode(), TWO),
        ("p.csv", PLAIN.replace("\n", "\r").encode(), TWO),
        ("p.csv", (HEADER + "a,u,one\r\nb,u,two\r").encode(), TWO),
        ("p.csv", ("\n" + HEADER + "a,u,one\n\n\nb,u,two\n\n").encode(), TWO),
        ("p.csv", b'"concept","unit","prompt_text"\n"a","u","one"\n"b","u","two"', TWO),
        ("p.csv", SQL.encode(), [("a", "u", 'one, "two"\nthree')]),
        ("p.csv", SQL.replace("\n", "\r\n").encode(), [("a", "u", 'one, "two"\r\nthree')]),
        ("p.csv", (HEADER + 'a,u,"  one "\n').encode(), [("a", "u", "  one ")]),
        ("p.csv", (HEADER + 'a,u,x = "one"\n').encode(), [("a", "u", 'x = "one"')]),
        ("p.csv", (HEADER + "a,u,'one'\n").encode(), [("a", "u", "'one'")]),
        ("p.csv", (HEADER + "a,u,x\u2028y\x85\x0c\n").encode(), [("a", "u", "x\u2028y\x85\x0c")]),
        ("p.csv", (HEADER + f"a,u,{'x' * 100_000}\n").encode(), [("a", "u", "x" * 100_000)]),
        ("p.jsonl", f"{LINE}\r\n\r\n".encode("utf-8-sig"), [("a", "u", "one")]),
        ("p.NDJSON", LINE.encode(), [("a", "u", "one")]),
    ],
)
def test_other_dialects_are_read_exactly(
    tmp_path: Path, name: str, data: bytes, wanted: list[tuple[str, str, str]]
) -> None:
    (tmp_path / name).write_bytes(data)
    assert read(tmp_path / name) == wanted


@pytest.mark.parametrize(
    "concept", ["None", "NA", "null", "nan", "NaN", "true", "1", "1.0", "1e5", "inf"]
)
@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_words_for_nothing_and_numbers_are_names_as_any(
    tmp_path: Path, concept: str, ending: str
) -> None:
    path = tmp_path / f"p.{ending}"
    frame = pl.DataFrame({"concept": [concept], "unit": ["NA"], "prompt_text": ["null"]})
    write = {"csv": frame.write_csv, "parquet": frame.write_parquet, "jsonl": frame.write_ndjson}
    write[ending](path)
    assert read(path) == [(concept, "NA", "null")]


def test_places_as_pandas_writes_them_are_read(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("concept,prompt_text,start,end\na,one,0.0,2.0\na,two,,\n")
    rows = own_prompts.read(path).rows
    assert [(row.start, row.end) for row in rows] == [(0, 2), (None, None)]


@pytest.mark.parametrize(
    ("data", "where", "found", "remedy"),
    [
        (PLAIN.encode("utf-16"), "", "text in UTF-16", "save it as text in UTF-8"),
        (PLAIN.encode("utf-16-le"), ", line 1, character 2", "as in text in UTF-16", "UTF-8"),
        (PLAIN.encode("utf-16-be"), ", line 1, character 1", "as in text in UTF-16", "UTF-8"),
        (PLAIN.encode("utf-32"), "", "text in UTF-32", "save it as text in UTF-8"),
        ((HEADER + "a,u,café").encode("cp1252"), ", line 2, character 8", "byte 0xE9", "UTF-8"),
        ((HEADER + "да,u,one").encode("cp1251"), ", line 2, character 1", "byte 0xE4", "UTF-8"),
        (f"{HEADER}\ra,u,caf\xe9".encode("latin-1"), ", line 3, character 8", "0xE9", "UTF-8"),
        (b"PK\x03\x04" + b"\0" * 30, "", "a spreadsheet (.xlsx)", "CSV UTF-8"),
        (b"\x1f\x8b\x08\0\0", "", "compressed with gzip", "UTF-8"),
        (b"PAR1" + b"\0" * 30, "", "a parquet file, whose name must end in .parquet", "UTF-8"),
        (PLAIN.replace(",", ";").encode(), ", line 1", "semicolons between columns", "commas"),
        (PLAIN.replace(",", "\t").encode(), ", line 1", "tabs between columns", "commas"),
        (PLAIN.replace(",", "|").encode(), ", line 1", "bars between columns", "commas"),
        (b"sep=,\n" + PLAIN.encode(), ", line 1", "'sep=,'", "remove that line"),
        (b"", "", "an empty file", ""),
        (b"\xef\xbb\xbf\r\n\n", "", "an empty file", ""),
        (HEADER.encode(), "", "none", ""),
        (b"a,u,one\nb,u,two\n", ", line 1", "no concept among 'a', 'u', 'one'", ""),
        (b"# mine\n" + PLAIN.encode(), ", line 1", "no concept among '# mine'", ""),
        (b"concept,unit\na,u\n", ", line 1", "no prompt_text among 'concept', 'unit'", ""),
        (b"Concept,prompt_text\n", ", line 1", "is it 'Concept'?", ""),
        (b"concept, prompt_text\n", ", line 1", "is it ' prompt_text'?", ""),
        (b"concept,prompt\n", ", line 1", "is it 'prompt'?", ""),
        (b"\xef\xbb\xbf\xef\xbb\xbf" + PLAIN.encode(), ", line 1", r"is it '\ufeffconcept'?", ""),
        (b"concept,prompt_text,label\n", ", line 1", "'label'", ""),
        (b"concept,prompt_text,Unit\n", ", line 1", "'Unit'; did you mean unit?", ""),
        (b"concept,prompt_text,concept\n", ", line 1", "a column twice", ""),
        (b"concept,prompt_text,\na,one,\n", ", line 1", "column 3 without a name", "comma at the"),
        (b",concept,prompt_text\n0,a,one\n", ", line 1", "column 1 without a name", "row numbers"),
        (b"concept,prompt_text\na,one,\n", ", row 1 (line 2)", "3: 'a', 'one', ''", "commas at"),
        (
            b"concept,prompt_text\na,f(x, y)\n",
            ", row 1 (line 2)",
            "3: 'a', 'f(x',",
            "quotes around",
        ),
        (b"concept,prompt_text\na\n", ", row 1 (line 2)", "1: 'a'", "as many fields"),
        (
            (HEADER + 'a,u,"o\nn"\n\nb,u,"x\nc,u,y\n').encode(),
            ", row 2 (line 5)",
            "none that",
            "twice",
        ),
        ((HEADER + 'a,u,"say \\"hi\\""\n').encode(), ", row 1 (line 2)", "text after", "twice"),
        ((HEADER + 'a,u,"one"x\n').encode(), ", row 1 (line 2)", "text after", "twice"),
        ((HEADER + "a,u,o\0e\n").encode(), ", line 2, character 6", "a NUL character", "remove it"),
        ((HEADER + f"a,u,{'x' * 100_001}").encode(), ", row 1 (line 2)", "100,001", ""),
        ((HEADER + f"a,u,{'x' * 140_000}").encode(), ", row 1 (line 2)", "a longer one", "shorten"),
        ((HEADER + " a,u,one\n").encode(), ", row 1 (line 2)", "' a'", ""),
        ((HEADER + "a\u00a0,u,one\n").encode(), ", row 1 (line 2)", r"'a\xa0'", ""),
        ((HEADER + ",,\n").encode(), ", row 1 (line 2)", "''", ""),
        (
            (HEADER + "a,u,one\n\na,u,one\n").encode(),
            ", row 2 (line 4)",
            "row 1 (line 2) again",
            "",
        ),
    ],
)
def test_csv_that_is_none_is_refused_with_the_place_and_the_cause(
    tmp_path: Path, data: bytes, where: str, found: str, remedy: str
) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(data)
    with pytest.raises(StimulusError) as raised:
        read(path)
    said = raised.value.said
    assert said["where"] == f"{path}{where}"
    assert found in said["found"]
    assert remedy in said["what to do"]
    assert "docs/own_prompts.md" in said["what to do"]
    assert len(str(raised.value)) < 600
    assert "\0" not in str(raised.value)


@pytest.mark.parametrize(
    ("data", "where", "found"),
    [
        (f"[{LINE}]", "row 1", "list"),
        (f"{LINE}\n{LINE},\n", "row 2, character 52", "Extra data"),
        ('{\n"concept": "a"}', "row 1, character 2", "Expecting property name"),
        (f"{LINE}\r{LINE}", "row 1, character 53", "Extra data"),
        ("{'concept': 'a'}", "row 1, character 2", "Expecting property name"),
        (PLAIN, "row 1, character 1", "Expecting value"),
        (LINE.replace('"a"', "NaN"), "row 1", "nan"),
        (LINE.replace('"a"', "null"), "row 1", "nothing"),
        (LINE.replace("one", "\\u0000"), "row 1", r"'\x00'"),
    ],
)
def test_json_lines_that_are_none_are_refused_with_the_place_and_the_cause(
    tmp_path: Path, data: str, where: str, found: str
) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(data, newline="")
    with pytest.raises(StimulusError) as raised:
        read(path)
    assert raised.value.said["where"] == f"{path}, {where}"
    assert found in raised.value.said["found"]


@pytest.mark.parametrize("name", ["p.tsv", "p.txt", "p.xlsx", "p.json", "p.csv.gz", "p.parquet.gz"])
def test_other_endings_are_refused_as_a_setting(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(PLAIN)
    with pytest.raises(SettingsError, match=r"ends in none of .parquet, .csv, .jsonl, .ndjson"):
        read(tmp_path / name)


def test_what_is_no_file_is_refused_and_waited_for_by_nobody(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "to_folder.csv").symlink_to("folder.csv")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    (tmp_path / "dangling.csv").symlink_to("nothing.csv")
    for name, said in (
        ("folder.csv", "a folder, a pipe or a device"),
        ("pipe.csv", "a folder, a pipe or a device"),
        ("to_folder.csv", "a folder, a pipe or a device"),
        ("loop.csv", "symbolic links"),
        ("dangling.csv", "No such file"),
    ):
        with pytest.raises(AtlasError, match=said) as raised:
            read(tmp_path / name)
        assert name in str(raised.value)


def test_a_file_is_read_through_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "p.csv").write_text(PLAIN)
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "link.csv").symlink_to("folder/p.csv")
    assert read(tmp_path / "folder" / "p.csv") == read(tmp_path / "link.csv") == TWO
