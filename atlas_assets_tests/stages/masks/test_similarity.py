"""Jaccard similarity and nearest concepts against Python sets and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.masks.similarity import jaccard, nearest
from atlas_assets_tests.oracles import atlas_naive as naive
from atlas_assets_tests.stages.random_atlas import concept_names, masks, refused

shapes = st.tuples(st.integers(0, 6), st.integers(1, 130))


@settings(deadline=None, max_examples=50)
@given(bits=shapes.flatmap(lambda shape: hnp.arrays(np.bool_, shape)))
def test_equals_the_quotient_of_set_sizes(bits):
    sets = [set(np.flatnonzero(row).tolist()) for row in bits]
    ours = jaccard(bits)
    assert ours.dtype == np.float64
    assert ours.tolist() == [[naive.jaccard(a, b) for b in sets] for a in sets]
    assert (ours == ours.T).all()
    assert ((ours >= 0) & (ours <= 1)).all()
    assert ours.diagonal().tolist() == [float(bool(s)) for s in sets]


@pytest.mark.parametrize("bits", [np.zeros((2, 2)), np.zeros(3, dtype=bool)])
def test_other_arrays_are_refused(bits):
    with refused(ArtifactError, f"{bits.dtype}, shape {bits.shape}"):
        jaccard(bits)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), layer=st.sampled_from([None, 0, 1]))
def test_the_order_of_the_nearest_is_that_of_a_naive_sort(seed, layer):
    universal = masks(np.random.default_rng(seed), concept_names(8), 2, width=4)
    circuits = naive.from_bits(universal)
    concept, layers = universal.names[3], range(2) if layer is None else [layer]
    scores = {
        name: sum(naive.jaccard(circuits[concept][at], own[at]) for at in layers) / len(layers)
        for name, own in circuits.items()
        if name != concept
    }
    found = nearest(universal, concept, layer)
    assert dict(found) == scores
    assert [name for name, _ in found] == sorted(scores, key=lambda name: (-scores[name], name))


def test_an_unknown_concept_has_no_nearest():
    with pytest.raises(ArtifactError, match="ast__Fro"):
        nearest(Masks(("ast__For",), np.zeros((1, 1, 2), dtype=np.bool_)), "ast__Fro")
