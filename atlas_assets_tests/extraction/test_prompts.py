"""Prompts as sequences: each distinct one once, in shards that share none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import ModelError, StimulusError
from atlas_assets.extraction.plain_pass import SHARD_PROMPTS
from atlas_assets.extraction.prompts import cut_into_shards, tokenize, unit_prompts
from atlas_assets.stages.activations.activations import units_of_object_prompts
from atlas_assets_tests.extraction.tiny_models import ByteTokenizer


@settings(max_examples=60, deadline=None)
@given(
    units=st.dictionaries(
        st.text("abcdef", min_size=1, max_size=3),
        st.lists(st.sampled_from([f"p{i}" for i in range(25)]), min_size=1, max_size=5),
        min_size=1,
        max_size=15,
    ),
    target=st.integers(1, 10),
)
def test_shards_part_the_units_and_share_no_prompt(
    units: dict[str, list[str]], target: int
) -> None:
    prompts = unit_prompts(ByteTokenizer(), units, max_positions=9)
    plan = list(cut_into_shards(prompts, target))
    assert sorted(name for shard in plan for name in shard.names) == sorted(units)
    texts = [{text for name in shard.names for text in units[name]} for shard in plan]
    assert sum(map(len, texts)) == len(set().union(*texts))
    assert all(len(held) >= target for held in texts[:-1])
    backwards = dict(reversed(units.items()))
    again = unit_prompts(ByteTokenizer(), backwards, max_positions=9)
    assert again.digest() == prompts.digest()
    assert [shard.names for shard in cut_into_shards(again, target)] == [s.names for s in plan]


def test_sequences_are_cut_to_one_length_or_each_to_its_own() -> None:
    table, _ = tokenize(ByteTokenizer(), ["abc", "de", "fghi"])

    def cut(limits: int | np.ndarray) -> list[bytes]:
        found = table.truncated(limits)
        return [bytes(found.sequence(row).tolist()) for row in range(len(found))]

    assert cut(2) == [b"ab", b"de", b"fg"]
    assert cut(np.array([1, 9, 3])) == [b"a", b"de", b"fgh"]


def test_texts_of_which_the_ids_are_known_are_not_encoded_again() -> None:
    class Noting(ByteTokenizer):
        prefix = (9,)

        def __init__(self) -> None:
            self.asked: list[str] = []

        def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
            self.asked += texts
            return super().encode_all(texts)

    tokenizer, texts = Noting(), ["b", "", "a", "b", "cc"]
    whole, rows = tokenize(tokenizer, texts)
    assert tokenizer.asked == ["b", "", "a", "cc"]
    known = {text: np.array(tokenizer.encode(text), np.int32) for text in ("", "b", "cc")}
    table, again = tokenize(tokenizer, texts, known)
    assert tokenizer.asked[4:] == ["a"]
    assert (table.tokens.tolist(), again.tolist()) == (whole.tokens.tolist(), rows.tolist())
    assert table.tokens.tolist() == [9, *b"b", 9, *b"a", 9, *b"cc"]
    assert tokenize(tokenizer, ["b", "cc"], known)[1].tolist() == [0, 1]
    assert tokenizer.asked[4:] == ["a"]


def test_the_published_grid_falls_into_many_small_shards(shared: Path) -> None:
    frame = pl.read_parquet(shared / "golden" / "prompts" / "object_candidates.parquet")
    units = units_of_object_prompts(frame)
    prompts = unit_prompts(ByteTokenizer(), units, max_positions=9999)
    sizes = [len(shard.distinct) for shard in cut_into_shards(prompts, SHARD_PROMPTS)]
    assert sum(sizes) == len(prompts.table) == 45_887
    assert max(sizes) < 1.5 * SHARD_PROMPTS


@pytest.mark.parametrize(
    ("units", "error", "message"),
    [
        ({}, StimulusError, "0 units"),
        ({"a": ["x"], "b": []}, StimulusError, "unit b"),
        ({"a": ["x"], "b": ["y", ""]}, StimulusError, "unit b, prompt 1"),
        ({"a": ["x"], "b": ["y", "x" * 10]}, ModelError, "unit b, prompt 1(.|\n)*at most 9 tokens"),
    ],
)
def test_units_whose_prompts_cannot_be_run(
    units: dict[str, list[str]], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        unit_prompts(ByteTokenizer(), units, max_positions=9)
