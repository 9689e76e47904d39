"""The sums and counts that decide as the quotients do, at the very edge."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.stages.masks.thresholds import fewest_prompts, weakest_sums

prompts = st.lists(st.integers(1, 2**20), min_size=1, max_size=5).map(np.array)
often = settings(deadline=None, max_examples=100)


@often
@given(n=prompts, epsilon=st.floats(0, 1e30, allow_nan=False))
def test_the_weakest_sum_exceeds_and_the_next_smaller_one_does_not(
    n: np.ndarray, epsilon: float
) -> None:
    sums, single = weakest_sums(n, epsilon), n.astype(np.float32)
    assert sums.dtype == np.float32
    assert (sums / single > np.float32(epsilon)).all()
    below = np.nextafter(sums, np.float32(0))
    assert not (below / single > np.float32(epsilon)).any()


def test_no_sum_exceeds_a_threshold_beyond_float32() -> None:
    assert np.isinf(weakest_sums(np.array([1, 50]), 1e300)).all()
    largest = np.finfo(np.float32).max
    assert np.isinf(weakest_sums(np.array([50]), float(largest))).all()


@often
@given(n=prompts, consistency=st.floats(1e-9, 1))
def test_the_fewest_prompts_are_enough_and_one_less_is_not(
    n: np.ndarray, consistency: float
) -> None:
    counts, single = fewest_prompts(n, consistency), n.astype(np.float32)
    assert (counts <= n).all()
    assert (counts.astype(np.float32) / single >= np.float32(consistency)).all()
    fewer = (counts - 1)[counts > 0]
    assert not (fewer.astype(np.float32) / single[counts > 0] >= np.float32(consistency)).any()
