"""The optimal leaf order against every order that a tree permits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from atlas_assets.stages.analyses import leaf_order
from atlas_assets_tests.oracles import analyses_naive as naive


def random_tree(seed: int, n: int, method: str = "ward") -> tuple[np.ndarray, np.ndarray]:
    """Distances and linkage; every other tree has few different distances, so that ties abound."""
    rng = np.random.default_rng(seed)
    upper = rng.random((n, n)) if seed % 2 else rng.integers(1, 4, (n, n)).astype(float)
    distances = np.triu(upper, k=1)
    distances += distances.T
    return distances, hierarchy.linkage(squareform(distances), method)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(2, 8),
    method=st.sampled_from(["ward", "single", "complete"]),
)
def test_no_permitted_order_is_better(seed, n, method):
    distances, merges = random_tree(seed, n, method)
    order = leaf_order.optimal_order(merges, distances).tolist()
    permitted = naive.leaf_orders([(int(a), int(b)) for a, b in merges[:, :2]], n)
    assert tuple(order) in permitted
    assert order[0] < order[-1]
    best = min(naive.leaf_order_cost(distances, candidate) for candidate in permitted)
    assert naive.leaf_order_cost(distances, order) == pytest.approx(best)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 40))
def test_oriented_tree_is_the_same_tree_in_that_order(seed, n):
    distances, merges = random_tree(seed, n)
    order = leaf_order.optimal_order(merges, distances)
    turned = leaf_order.oriented(merges, order)
    assert hierarchy.leaves_list(turned).tolist() == order.tolist()
    assert np.array_equal(turned[:, 2:], merges[:, 2:])
    assert np.array_equal(np.sort(turned[:, :2]), np.sort(merges[:, :2]))


def test_a_chain_of_leaves_keeps_its_order():
    """A chain of 300 leaves on a line, each joining all those before it."""
    at = np.cumsum(1 + np.arange(300) / 100)
    distances = np.abs(at[:, np.newaxis] - at)
    merges = hierarchy.linkage(squareform(distances), "single")
    assert leaf_order.optimal_order(merges, distances).tolist() == list(range(300))
