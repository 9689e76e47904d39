"""Jaccard similarity against Python sets and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import pdist, squareform

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.masks.similarity import jaccard
from atlas_assets_tests.oracles import atlas_naive as naive
from atlas_assets_tests.stages.random_atlas import speaks

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


@pytest.mark.parametrize("width", [1, 63, 64, 65, 2048])
def test_equals_scipy_where_a_union_is_not_empty(width):
    bits = np.random.default_rng(width).random((40, width)) < 0.3
    bits[:, 0] = True
    np.testing.assert_allclose(jaccard(bits), 1 - squareform(pdist(bits, "jaccard")), atol=1e-15)


def test_two_empty_masks_have_similarity_zero():
    assert jaccard(np.zeros((2, 5), dtype=bool)).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("bits", [np.zeros((2, 2)), np.zeros(3, dtype=bool)])
def test_other_arrays_are_refused(bits):
    with pytest.raises(ArtifactError) as error:
        jaccard(bits)
    assert speaks(error.value, found=f"{bits.dtype}, shape {bits.shape}")
