"""Neighbours against Python sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.masks.neighbours import nearest, similarities
from atlas_assets.stages.masks.similarity import jaccard
from atlas_assets_tests.stages.random_atlas import concept_names, masks


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), n_layers=st.integers(1, 4))
def test_similarities_are_a_row_of_the_jaccard_matrices(seed: int, n_layers: int) -> None:
    universal = masks(np.random.default_rng(seed), concept_names(7), n_layers, width=30)
    for row, concept in enumerate(universal.names):
        expected = [jaccard(universal.bits[:, layer])[row] for layer in range(n_layers)]
        assert np.array_equal(similarities(universal, concept), np.array(expected).T)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), layer=st.sampled_from([None, 0, 1]))
def test_the_order_is_that_of_a_naive_sort(seed: int, layer: int | None) -> None:
    universal = masks(np.random.default_rng(seed), concept_names(8), 2, width=4)
    concept = universal.names[3]
    found = nearest(universal, concept, layer)
    layers = range(2) if layer is None else [layer]
    sets = {
        name: [set(np.flatnonzero(universal.bits[i, at])) for at in layers]
        for i, name in enumerate(universal.names)
    }
    scores = {
        name: sum(
            len(a & b) / len(a | b) if a | b else 0.0
            for a, b in zip(sets[concept], of_name, strict=True)
        )
        / len(layers)
        for name, of_name in sets.items()
        if name != concept
    }
    assert dict(found) == pytest.approx(scores)
    assert [name for name, _ in found] == sorted(dict(found), key=lambda n: (-dict(found)[n], n))


def test_ties_go_by_name_and_the_concept_itself_is_left_out() -> None:
    names = ("ast__A", "ast__B", "builtin__a", "builtin__b")
    bits = np.array([[[1, 1, 0]], [[1, 0, 0]], [[0, 1, 0]], [[0, 0, 0]]], dtype=np.bool_)
    found = nearest(Masks(names, bits), "ast__A")
    assert found == [("ast__B", 0.5), ("builtin__a", 0.5), ("builtin__b", 0.0)]


def test_an_unknown_concept_is_refused() -> None:
    universal = Masks(("ast__For",), np.zeros((1, 1, 2), dtype=np.bool_))
    with pytest.raises(ArtifactError, match="ast__Fro"):
        nearest(universal, "ast__Fro")
