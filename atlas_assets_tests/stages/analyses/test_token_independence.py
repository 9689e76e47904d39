"""Token independence against Python sets."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.analyses import token_independence as t
from atlas_assets.stages.masks.masks import Masks
from atlas_assets_tests.oracles import atlas_naive as naive
from atlas_assets_tests.stages.random_atlas import concept_names, masks, refused
from atlas_assets_tests.storage.samples import sample

CONCEPTS = concept_names(10)
KEYWORDS = {name: name[-4:].lower() for name in CONCEPTS[2:]}
checked_concepts = st.sets(st.sampled_from(sorted(KEYWORDS))).map(lambda s: tuple(sorted(s)))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), checked=checked_concepts, n_layers=st.integers(1, 8))
def test_tables_equal_the_naive_ones(seed, checked, n_layers):
    rng = np.random.default_rng(seed)
    universal = masks(rng, CONCEPTS, n_layers, width=70)
    checker = masks(rng, checked, n_layers, width=70)
    expected = naive.independence_detail(
        naive.from_bits(universal), naive.from_bits(checker), KEYWORDS
    )
    detail = t.detail(universal, checker, KEYWORDS)
    assert detail.schema == t.DETAIL_SCHEMA.polars
    assert detail.to_dicts() == expected
    summary = t.summary(detail.reverse())
    assert summary.schema == t.SUMMARY_SCHEMA.polars
    assert summary.to_dicts() == naive.independence_summary(expected)


def test_concepts_without_keyword_are_listed_in_order():
    universal = Masks(CONCEPTS, np.zeros((10, 1, 3), dtype=bool))
    listed = t.no_keyword(universal, KEYWORDS)
    assert listed.rows() == [(name, "no_keyword") for name in CONCEPTS[:2]]
    everyone = t.no_keyword(universal, dict.fromkeys(CONCEPTS, "k"))
    assert everyone.is_empty()
    assert everyone.schema == listed.schema


def test_a_checker_without_keyword_is_refused():
    universal = masks(np.random.default_rng(0), CONCEPTS)
    with refused(ArtifactError, CONCEPTS[0]):
        t.detail(universal, universal.select(CONCEPTS[:1]), KEYWORDS)


def test_long_rankings_show_both_ends() -> None:
    frame = sample("token_independence_summary")
    long = pl.concat([frame.with_columns(object=pl.lit(f"ast__N{i:03}")) for i in range(30)])
    found = t.summary_shown(long)
    assert len(found.rows) == 20
    assert found.rows[0][0] == "ast__N000"
    assert found.rows[-1][0] == f"ast__N{(long.height - 1) // frame.height:03}"
    assert len(t.summary_shown(frame).rows) == frame.height


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "Every concept has a keyword."),
        (["ast__Dict", "builtin__abs"], "2 concepts have no keyword: Dict, abs."),
    ],
)
def test_concepts_without_a_keyword(names: list[str], said: str) -> None:
    frame = pl.DataFrame({"object": names}, schema={"object": pl.String})
    assert t.no_keyword_shown(frame) == said
