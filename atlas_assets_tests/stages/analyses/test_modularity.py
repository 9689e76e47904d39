"""Relaxed modularity against a float32 computation concept by concept, ties included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.stages.analyses import modularity, modularity_null
from atlas_assets.stages.masks.masks import Masks
from atlas_assets_tests.oracles import atlas_naive as naive
from atlas_assets_tests.stages.figures import synthetic
from atlas_assets_tests.stages.random_atlas import column, concept_names, masks


def assert_equal_to_naive(universal: Masks) -> None:
    circuits = naive.from_bits(universal)
    detail, scores = modularity.detail(universal), modularity.scores(universal)
    assert detail.schema == modularity.DETAIL_SCHEMA.polars
    assert detail.rows() == naive.modularity_detail(circuits, universal.n_layers)
    assert scores.schema == modularity.SCORES_SCHEMA.polars
    assert scores.rows() == naive.modularity_scores(circuits, universal.n_layers)


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 25), width=st.integers(1, 30))
def test_tables_equal_the_naive_ones_on_any_cut_of_the_grid(seed, n, width):
    universal = masks(np.random.default_rng(seed), concept_names(n), n_layers=2, width=width)
    assert_equal_to_naive(universal)


def test_the_published_number_of_concepts():
    rng = np.random.default_rng(11)
    density = rng.uniform(0.05, 0.9, size=(106, 3, 1))
    universal = Masks(concept_names(106), rng.random((106, 3, 64)) < density)
    assert_equal_to_naive(universal)
    scores = modularity.scores(universal)
    # without ties, 5 of 106 concepts are below the 5th percentile in each layer
    assert [scores[f"p={trim}"].sum() for trim in modularity.TRIMS] == [15] * 4


@pytest.mark.parametrize("n", [129, 150, 260])
def test_more_concepts_than_one_block_of_numpys_pairwise_sum(n):
    bits = np.random.default_rng(n).random((n, 40)) < 0.3
    ours = modularity.trimmed_means(bits)
    sets = [set(np.flatnonzero(row).tolist()) for row in bits]
    for i in (0, n // 2, n - 1):
        others = [naive.jaccard(sets[i], other) for j, other in enumerate(sets) if j != i]
        for trim, found in zip(modularity.TRIMS, ours[:, i], strict=True):
            assert found == naive.trimmed_mean(others, trim)


@pytest.mark.parametrize(("shared", "expected"), [(1, 0.0062), (7, 0.0438), (19, 0.1188)])
def test_trimmed_means_are_rounded_in_float32(shared, expected):
    """Of 160 neurons; Python's rounding of the same float32 gives another last digit."""
    bits = np.zeros((2, 1, 160), dtype=bool)
    bits[0] = True
    bits[1, :, :shared] = True
    observed = modularity.detail(Masks(concept_names(2), bits))["observed_trimmed_jaccard"]
    assert set(observed) == {expected}
    assert round(float(np.float32(shared / 160)), 4) != expected


def test_the_ranking_stands_beside_the_null() -> None:
    universal = synthetic.universal(n_layers=3, width=256)
    scores = modularity.scores(universal)
    null = modularity_null.permutation_null(universal, permutations=20)
    found = modularity.shown(scores, null)
    assert len(found.rows) == 20
    name = str(scores["index"][0])
    p_values = null.filter(object=name)["p_value"]
    assert column(found, "concept")[0] == name
    assert column(found, "smallest p-value")[0] == f"{p_values.min():.4f}"
    assert column(found, "null: p-value < 0.05")[0] == str((p_values < 0.05).sum())
    assert "20 permutations" in found.note
    alone = modularity.shown(scores, None)
    assert alone.columns == found.columns[:5]
