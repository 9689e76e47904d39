"""Resamples and q-values against loops over rows and tests."""

from __future__ import annotations

import math

import numpy as np
import pytest

from atlas_assets.stages.circuits import statistics


def test_means_of_groups_equal_those_of_the_rows_drawn() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=40)
    groups, clusters = rng.integers(0, 4, 40), rng.integers(0, 6, 40)
    weights = statistics.cluster_weights(6, 9, rng)
    assert (weights.sum(axis=1) == 6).all()
    found = statistics.group_means(values, groups, clusters, 4, weights)
    for draw, times in enumerate(weights.astype(int).tolist()):
        for group in range(4):
            drawn = [
                value
                for value, its, cluster in zip(values, groups, clusters, strict=True)
                for _ in range(times[cluster])
                if its == group
            ]
            wanted = math.fsum(drawn) / len(drawn) if drawn else math.nan
            assert found[group, draw] == pytest.approx(wanted, nan_ok=True)


def test_an_interval_covers_the_mean_in_about_95_of_100_samples() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(300):
        values = rng.normal(size=40)
        weights = statistics.cluster_weights(40, 200, rng)
        groups = np.zeros(40, dtype=np.int64)
        draws = statistics.group_means(values, groups, np.arange(40), 1, weights)
        low, high = statistics.interval(draws)
        covered += bool(low[0] <= 0 <= high[0])
    assert 270 <= covered <= 297


def test_nothing_known_has_no_interval() -> None:
    low, high = statistics.interval(np.array([[math.nan, math.nan], [1.0, math.nan]]))
    assert np.isnan(low[0])
    assert (low[1], high[1]) == (1.0, 1.0)


def test_p_values_count_the_draws_that_are_not_above_zero() -> None:
    draws = np.array([[1.0, 2.0, -1.0, 0.0], [1.0, 1.0, 1.0, math.nan]])
    assert statistics.p_above_zero(draws).tolist() == [3 / 5, 1 / 4]


def test_q_values_equal_the_step_up_procedure() -> None:
    rng = np.random.default_rng(3)
    p_values = np.concatenate([rng.random(30), rng.random(10) / 500, [0.01, 0.01]])
    found = statistics.benjamini_hochberg(p_values)
    for p_value, q_value in zip(p_values, found, strict=True):
        # the least rate at which the procedure rejects this test, looked for one by one
        rates = [
            other * len(p_values) / sum(p_values <= other) for other in p_values if other >= p_value
        ]
        assert q_value == pytest.approx(min(1.0, *rates))
