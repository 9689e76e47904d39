"""Distances, Ward linkage, cuts and leaf order against the formulas, cluster by cluster."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster import hierarchy

from atlas_assets.errors import ArtifactError, SettingsError
from atlas_assets.stages.analyses import atomicity
from atlas_assets.stages.masks.masks import Masks
from atlas_assets_tests.oracles import analyses_naive as naive
from atlas_assets_tests.oracles.atlas_naive import from_bits
from atlas_assets_tests.stages.random_atlas import concept_names, masks, refused

seeds = st.integers(0, 2**32 - 1)


def one_layer(n: int, seed: int, width: int = 300) -> Masks:
    """Circuits with so many neurons that no two distances are equal."""
    rng = np.random.default_rng(seed)
    return Masks(concept_names(n), rng.random((n, 1, width)) < rng.uniform(0.1, 0.9, (n, 1, 1)))


def naive_distances(universal: Masks, layer: int) -> tuple[list[str], list[list[float]]]:
    circuits = from_bits(universal)
    names = [name for name in sorted(circuits) if circuits[name][layer]]
    near = [[naive.jaccard(circuits[a][layer], circuits[b][layer]) for b in names] for a in names]
    return names, [[float(1 - value) for value in row] for row in near]


def partition(labels: dict[str, int]) -> set[frozenset[str]]:
    return {
        frozenset(name for name, found in labels.items() if found == label)
        for label in labels.values()
    }


@settings(deadline=None, max_examples=40)
@given(seed=seeds, n=st.integers(0, 15), width=st.integers(1, 40))
def test_distances_are_those_of_the_circuits_that_are_there(seed, n, width):
    universal = masks(np.random.default_rng(seed), concept_names(n), width=width)
    for layer in range(universal.n_layers):
        names, values = atomicity.distance(universal, layer)
        expected_names, expected = naive_distances(universal, layer)
        assert list(names) == expected_names
        assert values.shape == (len(names), len(names))
        assert values.ravel().tolist() == pytest.approx(np.ravel(expected).tolist(), abs=1e-15)
        assert (values.diagonal() == 0).all()


@settings(deadline=None, max_examples=30)
@given(seed=seeds, n=st.integers(2, 12), k=st.integers(1, 14))
def test_linkage_and_cuts_are_wards(seed, n, k):
    universal = one_layer(n, seed)
    names, values = naive_distances(universal, 0)
    found, merges, _ = atomicity.linkage(universal, 0)
    heights = [height for height, _ in naive.ward(values)]
    assert list(found) == names
    assert merges[:, 2].tolist() == pytest.approx(heights)
    assert atomicity.linkage(universal, 0).merges.tobytes() == merges.tobytes()
    expected = naive.ward_clusters(values, k)
    labels = atomicity.clusters(universal, 0, k)
    assert partition(labels) == {frozenset(names[i] for i in cluster) for cluster in expected}


def test_clusters_are_numbered_along_the_leaves_which_scipy_reads_from_the_merges():
    universal = one_layer(20, 5)
    names, merges, order = atomicity.linkage(universal, 0)
    assert hierarchy.is_valid_linkage(merges, throw=True)
    assert hierarchy.leaves_list(merges).tolist() == order.tolist()
    labels = atomicity.clusters(universal, 0)
    along = [labels[names[i]] for i in order]
    assert along == sorted(along)
    assert set(along) == {1, 2, 3, 4}
    assert list(labels) == list(names)


def test_a_tie_of_heights_gives_fewer_clusters_and_never_more():
    """Six circuits without a common neuron: all are equally far, so that no cut gives four."""
    universal = Masks(concept_names(6), np.eye(6, dtype=bool)[:, np.newaxis])
    for k in range(1, 8):
        assert 1 <= len(set(atomicity.clusters(universal, 0, k).values())) <= min(k, 6)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4])
def test_fewer_circuits_than_clusters_are_clusters_of_their_own(n):
    bits = np.zeros((6, 2, 30), dtype=bool)
    bits[:n] = np.random.default_rng(n).random((n, 2, 30)) < 0.5
    universal = Masks(concept_names(6), bits)
    names, merges, order = atomicity.linkage(universal, 1)
    assert names == universal.names[:n]
    assert merges.shape == (max(0, n - 1), 4)
    assert sorted(order.tolist()) == list(range(n))
    labels = atomicity.clusters(universal, 1, k=4)
    assert sorted(labels.values()) == list(range(1, n + 1))


@pytest.mark.parametrize("layer", [-1, 3])
def test_a_layer_that_is_not_there_is_refused(layer):
    universal = masks(np.random.default_rng(0), concept_names(4), n_layers=3)
    with refused(ArtifactError, f"layer {layer}"):
        atomicity.clusters(universal, layer)


def test_a_cut_into_nothing_is_refused():
    with refused(SettingsError, "0"):
        atomicity.clusters(one_layer(5, 0), 0, k=0)
