"""The entanglement index against sets, pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.analyses import compositionality
from atlas_assets.stages.masks.masks import Masks, universal
from atlas_assets_tests.oracles import analyses_naive as naive
from atlas_assets_tests.oracles.atlas_naive import from_bits
from atlas_assets_tests.stages.random_atlas import masks, pair_names, speaks

seeds = st.integers(0, 2**32 - 1)


def assert_equal_to_naive(pairs: Masks, concepts: Masks) -> None:
    table = compositionality.entanglement(pairs, concepts)
    assert table.schema == compositionality.SCHEMA.polars
    assert table.to_dicts() == naive.entanglement(
        from_bits(pairs.names, pairs.bits), from_bits(concepts.names, concepts.bits)
    )


@settings(deadline=None, max_examples=60)
@given(seed=seeds, n=st.integers(1, 30))
def test_equals_the_naive_table_on_any_cut_of_the_grid(seed, n):
    rng = np.random.default_rng(seed)
    pairs = masks(rng, pair_names(rng, n), width=int(rng.integers(1, 40)))
    concepts = universal(pairs)
    assert_equal_to_naive(pairs, concepts)
    # universal masks of a larger grid, which are not contained in the pairs
    assert_equal_to_naive(pairs, masks(rng, concepts.names, width=pairs.width))


@settings(deadline=None, max_examples=60)
@given(seed=seeds, n=st.integers(1, 30))
def test_index_is_a_share_and_counts_add_up(seed, n):
    rng = np.random.default_rng(seed)
    pairs = masks(rng, pair_names(rng, n))
    table = compositionality.entanglement(pairs, universal(pairs))
    assert table["entanglement_index"].is_between(0, 1).all()
    assert (table["unexplained"] <= table["pair_size"]).all()
    assert table["pair_size"].sum() == np.count_nonzero(pairs.bits)
    assert table.filter(pair_size=0)["entanglement_index"].eq(0).all()


def test_a_pair_alone_is_its_concepts_circuits():
    pairs = Masks(("For__list",), np.ones((1, 2, 5), dtype=bool))
    table = compositionality.entanglement(pairs, universal(pairs))
    assert table["entanglement_index"].to_list() == [0.0, 0.0]


def test_disjoint_pairs_are_entangled_throughout():
    pairs = Masks(("For__len", "For__list", "If__len", "If__list"), np.eye(4, dtype=bool)[:, None])
    table = compositionality.entanglement(pairs, universal(pairs))
    assert table["entanglement_index"].to_list() == [1.0] * 4


def test_rows_are_sorted_by_the_parts_of_a_pair():
    """By name, ImportFrom's pair comes before Import's."""
    pairs = Masks(("ImportFrom___isolated_", "Import___isolated_"), np.ones((2, 1, 3), dtype=bool))
    table = compositionality.entanglement(pairs, universal(pairs))
    assert table["ast_node"].to_list() == ["Import", "ImportFrom"]


def test_no_pairs_give_an_empty_table():
    nothing = Masks((), np.zeros((0, 2, 3), dtype=bool))
    table = compositionality.entanglement(nothing, nothing)
    assert table.is_empty()
    assert table.schema == compositionality.SCHEMA.polars


def test_a_pair_without_universal_masks_is_named():
    pairs = Masks(("For__list",), np.ones((1, 2, 5), dtype=bool))
    with pytest.raises(ArtifactError, match="builtin__list"):
        compositionality.entanglement(pairs, universal(pairs).select(["ast__For"]))


def test_masks_of_another_model_are_refused():
    pairs = Masks(("For__list",), np.ones((1, 2, 5), dtype=bool))
    other = Masks(("For__list",), np.ones((1, 2, 6), dtype=bool))
    with pytest.raises(ArtifactError) as caught:
        compositionality.entanglement(pairs, universal(other))
    assert speaks(caught.value, found="2 layers of 5 neurons")
