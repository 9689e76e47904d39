"""Prompts that circuits are found on and judged by: other domains, spread, the same every time."""

from __future__ import annotations

from collections import Counter

import polars as pl
import pytest

from atlas_assets.stages.circuits import samples

GRID = [("For", "len"), ("For", "list"), ("For", "dict"), ("If", "len"), ("Pass", "_isolated_")]


def prompts(variations: int = 50) -> pl.DataFrame:
    rows = [
        # every third text occurs twice
        (ast_node, builtin, number, f"{ast_node} {builtin} {number - (number % 15 == 10) * 5}")
        for ast_node, builtin in GRID
        for number in range(variations)
    ]
    names = ("ast_node", "builtin_obj", "variation_id", "prompt_text")
    return pl.DataFrame(rows, schema=names, orient="row")


def test_the_halves_share_no_pair_and_domain() -> None:
    cells = [
        {(pair, domain) for pair, domain in zip(each.pair, each.domain.tolist(), strict=True)}
        for each in (samples.by_concept(prompts(), half, 99) for half in ("discovery", "test"))
    ]
    assert cells[0] & cells[1] == set()
    assert len(cells[0] | cells[1]) == 5 * len(GRID)


@pytest.mark.parametrize("half", ["discovery", "test"])
def test_a_sample_of_a_concept_is_its_own_and_spread(half: samples.Half) -> None:
    drawn = samples.by_concept(prompts(), half, 7)
    assert drawn.concepts == (
        *("ast__For", "ast__If", "ast__Pass"),
        *("builtin___isolated_", "builtin__dict", "builtin__len", "builtin__list"),
    )
    cells = len(samples.DISCOVERY) if half == "discovery" else 2
    for number, concept in enumerate(drawn.concepts):
        own = drawn.of(number).tolist()
        kind, _, name = concept.partition("__")
        assert len({drawn.texts[row] for row in own}) == len(own) == 7
        part = 0 if kind == "ast" else 1
        assert all(drawn.pair[row].split("__", 1)[part] == name for row in own)
        assert all(samples.half_of(int(drawn.domain[row])) == half for row in own)
        met = Counter((drawn.pair[row], int(drawn.domain[row])) for row in own)
        n_pairs = sum(pair[part] == name for pair in GRID)
        assert len(met) == min(7, cells * n_pairs)
        assert max(met.values()) - min(met.values()) <= 1


def test_a_concept_keeps_its_sample_in_a_cut_of_the_grid() -> None:
    whole = samples.by_concept(prompts(), "test", 5)
    cut = samples.by_concept(prompts().filter(pl.col("ast_node") != "If"), "test", 5)
    texts = {
        each: tuple(drawn.texts[row] for row in drawn.of(drawn.concepts.index("ast__For")))
        for each, drawn in (("whole", whole), ("cut", cut))
    }
    assert texts["whole"] == texts["cut"]


def test_concepts_of_few_pairs_get_more_prompts_of_each() -> None:
    drawn = samples.by_pair(prompts(), "discovery")
    counts = Counter(drawn.concept.tolist())
    assert min(counts.values()) >= samples.PER_CONCEPT
    assert {drawn.texts[row] for row in drawn.of(0)} == {
        drawn.texts[row]
        for number in (4, 5, 6)
        for row in drawn.of(number)
        if drawn.pair[row].startswith("For__")
    }
