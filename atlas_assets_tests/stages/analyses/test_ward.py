"""Ward's merges and cuts are SciPy's, number by number, among equal distances too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from atlas_assets.stages.analyses import ward


# rounding puts a merge below one of its branches
@example(seed=814860575, n=17, values=2)
@settings(deadline=None, max_examples=200)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(2, 40),
    values=st.sampled_from([1, 2, 3, 10, 2**40]),
)
def test_merges_and_cuts_are_scipys(seed: int, n: int, values: int) -> None:
    drawn = np.random.default_rng(seed).integers(0, values, size=n * (n - 1) // 2) / values
    expected = hierarchy.linkage(drawn, "ward")
    found = ward.linkage(squareform(drawn))
    assert found.tobytes() == expected.tobytes()
    for k in (1, 2, 4, n - 1, n, n + 1):
        groups = hierarchy.fcluster(expected, k, criterion="maxclust")
        labels = ward.cut(found, k)
        together = groups[:, np.newaxis] == groups
        assert ((labels[:, np.newaxis] == labels) == together).all()


@pytest.mark.parametrize("n", [106, 300])
def test_as_many_circuits_as_a_model_has_are_merged_as_scipy_does(n: int) -> None:
    drawn = np.random.default_rng(n).random(n * (n - 1) // 2)
    assert ward.linkage(squareform(drawn)).tobytes() == hierarchy.linkage(drawn, "ward").tobytes()
