"""The file of own prompts: read in three formats, and judged row by row."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from atlas_assets.errors import StimulusError
from atlas_assets.stages.artifact import Needs
from atlas_assets.stages.prompts import own_prompts
from atlas_assets.stages.prompts.own_prompts import OwnPrompts
from atlas_assets_tests.oracles.tokenizers import WordTokenizer
from reliability import mutations
from reliability.rows import draw

ROWS: list[dict[str, Any]] = [
    {"concept": "JOIN", "unit": "left", "prompt_text": "a LEFT JOIN b", "start": 2, "end": 11},
    {"concept": "Если", "prompt_text": "если да, то\nнет"},
    {"concept": "JOIN", "unit": "cross", "prompt_text": "a CROSS JOIN b", "role": "object"},
    {"concept": "JOIN", "unit": "left", "prompt_text": "c LEFT JOIN d"},
    {"concept": "JOIN", "prompt_text": "'join us'", "role": "checker"},
]


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    columns = {name: [row.get(name) for row in rows] for name in own_prompts.COLUMNS}
    columns = {
        name: values for name, values in columns.items() if set(map(repr, values)) != {"None"}
    }
    match path.suffix:
        case ".parquet":
            pl.DataFrame(columns).write_parquet(path)
        case ".csv":
            pl.DataFrame(columns).write_csv(path)
        case _:
            path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path, rows: list[dict[str, Any]]) -> OwnPrompts:
    return own_prompts.read(written(path, rows))


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl", "ndjson"])
def test_every_format_gives_the_same_prompts_and_digest(tmp_path: Path, ending: str) -> None:
    found = read(tmp_path / f"p.{ending}", ROWS)
    assert found.name == f"p.{ending}"
    assert found.concepts == ("own__JOIN", "own__Если")
    assert found.object_candidates().rows() == [
        ("JOIN", "cross", 0, "a CROSS JOIN b", None, None),
        ("JOIN", "left", 0, "a LEFT JOIN b", 2, 11),
        ("JOIN", "left", 1, "c LEFT JOIN d", None, None),
        ("Если", "all", 0, "если да, то\nнет", None, None),
    ]
    checkers = found.checker_prompts("checker", WordTokenizer())
    assert checkers.rows() == [("own__JOIN", 0, "'join us'", None, None)]
    assert found.lacks == set(Needs) - {Needs.PROMPTS, Needs.CHECKERS}
    assert found.sha256 == read(tmp_path / "other.jsonl", ROWS).sha256


def test_the_digest_is_of_the_prompts_and_of_their_order_within_a_unit(tmp_path: Path) -> None:
    def digest(rows: list[dict[str, Any]]) -> str:
        return read(tmp_path / "p.csv", rows).sha256

    reordered = [ROWS[i] for i in (1, 4, 2, 0, 3)]
    assert digest(reordered) == digest(ROWS)
    assert digest([ROWS[i] for i in (3, 1, 2, 0, 4)]) != digest(ROWS)
    assert digest([{**ROWS[0], "start": 3}, *ROWS[1:]]) != digest(ROWS)
    assert digest(ROWS[:4]) != digest(ROWS)


def test_without_checker_prompts_there_is_nothing_to_check_against(tmp_path: Path) -> None:
    found = read(tmp_path / "p.jsonl", ROWS[:4])
    assert found.lacks == set(Needs) - {Needs.PROMPTS}


@pytest.mark.parametrize(
    ("change", "row", "said"),
    [
        ({"concept": ""}, 2, "a name in the column concept"),
        ({"concept": 3}, 2, "a name in the column concept"),
        ({"concept": "a/b"}, 2, "has no /"),
        ({"concept": "../x"}, 2, "begins with a letter or digit"),
        ({"concept": "=1+1"}, 2, "begins with a letter or digit"),
        ({"concept": "a\u202eb"}, 2, "printable"),
        ({"concept": "a\nb"}, 2, "printable"),
        ({"concept": "x" * 101}, 2, "at most 100"),
        ({"concept": "e\u0301"}, 2, "NFC"),
        ({"concept": "a "}, 2, "no blank at its end"),
        ({"concept": "a__b"}, 2, "two underscores"),
        ({"concept": "a_"}, 2, "two underscores"),
        ({"concept": "join"}, 2, "'JOIN' in row 1"),
        ({"unit": "a/b"}, 2, "a unit of at most"),
        ({"prompt_text": " \n"}, 2, "a prompt in the column prompt_text"),
        ({"prompt_text": None}, 2, "a prompt in the column prompt_text"),
        ({"prompt_text": "a\0b"}, 2, "expected: text"),
        ({"prompt_text": "\ud800"}, 2, "expected: text"),
        ({"prompt_text": "x" * 100_001}, 2, "at most 100,000 characters"),
        ({"role": "Object"}, 2, "the role object or checker"),
        ({"start": 1}, 2, "both start and end"),
        ({"start": 3, "end": 3}, 2, "0 ≤ start < end ≤ 15"),
        ({"start": 0, "end": 16}, 2, "0 ≤ start < end ≤ 15"),
        ({"start": -1, "end": 2}, 2, "0 ≤ start < end ≤ 15"),
        ({"start": 0.5, "end": 2}, 2, "a whole number in the column start"),
        ({"start": True, "end": 2}, 2, "a whole number in the column start"),
        ({"start": "x", "end": 2}, 2, "a whole number in the column start"),
        ({**ROWS[0]}, 2, "the prompt of row 1 again"),
        ({"concept": "JOIN", "prompt_text": "'join us'"}, 5, "row 2, which has the other role"),
        ({"role": "checker"}, 2, "'Если' has checker prompts only"),
    ],
)
def test_an_unsound_row_is_refused_by_its_number(
    tmp_path: Path, change: dict[str, Any], row: int, said: str
) -> None:
    path = tmp_path / "p.jsonl"
    with pytest.raises(StimulusError) as raised:
        read(path, [ROWS[0], {**ROWS[1], **change}, *ROWS[2:]])
    assert f"where: {path}, row {row}\n" in str(raised.value)
    assert said in str(raised.value)
    assert "ATLAS_STIMULI" in str(raised.value)
    assert len(str(raised.value)) < 600


def test_more_concepts_or_units_than_an_atlas_takes_are_refused(tmp_path: Path) -> None:
    many = [{"concept": f"c{i}", "prompt_text": "x"} for i in range(1001)]
    with pytest.raises(StimulusError, match="at most 1,000 concepts"):
        read(tmp_path / "p.jsonl", many)


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_a_mutated_file_is_read_or_refused_in_words(tmp_path: Path, ending: str) -> None:
    sound = written(tmp_path / f"sound.{ending}", ROWS).read_bytes()
    path = tmp_path / f"mutated.{ending}"
    for case in range(60):
        path.write_bytes(mutations.of_bytes(sound, draw(1, ending, case)))
        with contextlib.suppress(StimulusError):
            own_prompts.read(path).object_candidates()


def test_a_small_file_of_very_many_characters_is_refused_before_they_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_prompts, "MOST_CHARACTERS", 10**6)
    path = tmp_path / "p.parquet"
    units = pl.Series("unit", range(1000)).cast(pl.String)
    frame = pl.DataFrame([units]).with_columns(concept=pl.lit("A"), prompt_text=pl.lit("x" * 10**5))
    frame.write_parquet(path)
    assert path.stat().st_size < 10**5
    with pytest.raises(StimulusError, match=r"row 11\n.*at most 1,000,000 characters"):
        own_prompts.read(path)
