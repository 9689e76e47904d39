"""Marginalisation robustness against sets, order by order, and against its expectation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import SettingsError
from atlas_assets.stages.analyses import marginalisation
from atlas_assets.stages.masks.masks import Masks
from atlas_assets_tests.oracles import analyses_naive as naive
from atlas_assets_tests.oracles.atlas_naive import from_bits
from atlas_assets_tests.stages.random_atlas import column, masks, pair_names, refused


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 30), orders=st.integers(1, 4))
def test_equals_the_naive_table_given_the_orders(seed, n, orders):
    rng = np.random.default_rng(seed)
    pairs = masks(rng, pair_names(rng, n), width=int(rng.choice([1, 8, 9, 63, 64, 65, 130])))

    def orders_of(concept: str, n_pairs: int) -> list[list[int]]:
        return marginalisation.random_orders(concept, n_pairs, orders, seed).tolist()

    table = marginalisation.robustness(pairs, orders=orders, seed=seed)
    circuits = from_bits(pairs)
    assert table.schema == marginalisation.SCHEMA.polars
    assert table.rows() == naive.robustness(circuits, pairs.n_layers, orders_of)


@pytest.mark.parametrize("n", [1, 2, 7, 60])
def test_orders_are_permutations_and_a_smaller_number_is_a_prefix(n):
    orders = marginalisation.random_orders("ast__For", n, 9, 42)
    assert np.sort(orders, axis=1).tolist() == [list(range(n))] * 9
    assert np.array_equal(orders[:4], marginalisation.random_orders("ast__For", n, 4, 42))


def test_all_orders_are_equally_likely():
    orders = marginalisation.random_orders("ast__For", 3, 6000, 1)
    _, times = np.unique(orders @ [9, 3, 1], return_counts=True)
    assert len(times) == 6
    # χ² of 5 degrees of freedom is below 20.5 with probability 0.999
    assert ((times - 1000) ** 2 / 1000).sum() < 20.5


def test_orders_depend_on_the_seed_and_not_on_the_rest_of_the_grid():
    rng = np.random.default_rng(8)
    pairs = masks(rng, pair_names(rng, 30), width=100)
    table = marginalisation.robustness(pairs, seed=7)
    assert table.equals(marginalisation.robustness(pairs, seed=7))
    assert not table.equals(marginalisation.robustness(pairs, seed=8))
    alone = pairs.select([name for name in pairs.names if name.startswith("For__")])
    expected = marginalisation.robustness(pairs).filter(concept="ast__For")
    assert marginalisation.robustness(alone).filter(concept="ast__For").equals(expected)


def test_an_impossible_number_of_orders_is_refused():
    pairs = Masks(("Pass___isolated_",), np.ones((1, 2, 5), dtype=bool))
    with refused(SettingsError, "0"):
        marginalisation.robustness(pairs, orders=0)
    with pytest.raises(SettingsError, match="seed"):
        marginalisation.robustness(pairs, seed=-1)


def test_sizes_with_one_half_and_all_pairs() -> None:
    bits = np.zeros((3, 1, 8), dtype=np.bool_)
    for row, size in enumerate((8, 6, 4)):
        bits[row, 0, :size] = True
    pairs = Masks(("For__a", "For__b", "For__c"), bits)
    frame = marginalisation.robustness(pairs, orders=6)
    found = marginalisation.shown(frame)
    assert column(found, "AST nodes, all") == ["4.0"]
    of_for = frame.filter(concept="ast__For")
    assert column(found, "AST nodes, half") == [f"{of_for['mean_size'][1]:.1f}"]
    assert column(found, "builtins, one pair") == column(found, "builtins, all") == ["6.0"]
