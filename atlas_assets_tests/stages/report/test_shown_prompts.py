"""Prompts that are shown: each once, few of each concept, with the place where the concept ends."""

from __future__ import annotations

import polars as pl

from atlas_assets.stages.prompts import object_prompts
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.report import shown_prompts as module
from atlas_assets.stages.report.shown_prompts import LONGEST, OF_CONCEPT, shown_prompts


def published() -> pl.DataFrame:
    found = object_prompts.generate(load_stimuli(), builtins=["list", "len", "int", "str", "dict"])
    return found.with_columns(sequence_loss=pl.lit(1.0), token_length=pl.lit(5))


def own(*rows: tuple[str, str, str, int | None]) -> pl.DataFrame:
    columns = {"concept": [], "unit": [], "variation_id": [], "prompt_text": [], "end": []}
    for number, (concept, unit, text, end) in enumerate(rows):
        for column, value in zip(columns, (concept, unit, number, text, end), strict=True):
            columns[column].append(value)
    return pl.DataFrame(columns, schema_overrides={"end": pl.Int64})


def test_a_few_prompts_of_different_pairs_of_every_concept() -> None:
    prompts = published()
    found = shown_prompts(prompts, None)
    assert len(found["texts"]) == len(set(found["texts"]))
    assert "checkers" not in found
    nodes = {f"ast__{node}" for node in prompts["ast_node"].unique()}
    assert nodes <= found["of"].keys()
    rows = set(prompts.select("prompt_text", pl.format("{}__{}", "ast_node", "builtin_obj")).rows())
    for concept, shown in found["of"].items():
        pairs = [pair for _, pair, _ in shown]
        assert 1 <= len(pairs) == len(set(pairs)) <= OF_CONCEPT
        for text, pair, end in shown:
            assert concept.partition("__")[2] in pair.split("__", 1)
            assert (found["texts"][text], pair) in rows
            assert end is None or 0 < end <= len(found["texts"][text])


def test_the_end_of_the_concept_is_that_of_its_node() -> None:
    found = shown_prompts(published().filter(ast_node="For", builtin_obj="list"), None)
    ((text, pair, end),) = found["of"]["ast__For"]
    assert pair == "For__list"
    before = found["texts"][text][:end]
    assert "for " in before
    assert not before.endswith("\n")


def test_long_own_prompts_are_cut_at_the_begin_and_their_number_is_bounded(monkeypatch) -> None:
    long = "a" * LONGEST + "b" * 50
    prompts = own(("A", "u", long, LONGEST + 10), ("A", "v", long, 20), ("B", "u", long, None))
    found = shown_prompts(prompts, None)
    assert found["texts"] == [long[50:]]
    assert [end for *_, end in found["of"]["own__A"]] == [LONGEST - 40, None]
    assert found["of"]["own__B"] == [[0, "own__B__u", None]]
    monkeypatch.setattr(module, "MOST_CHARACTERS", 10)
    assert shown_prompts(prompts, None) == {"texts": [], "of": {}}


def test_checker_prompts_are_shown_by_concept() -> None:
    checkers = pl.DataFrame({"object": ["ast__For"] * 5, "prompt_text": list("abcde")})
    found = shown_prompts(own(("A", "u", "x", 1)), checkers)
    assert [found["texts"][text] for text in found["checkers"]["ast__For"]] == ["a", "c"]
