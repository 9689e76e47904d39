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


def test_p_values_count_controls_that_exceed_the_others_by_as_much() -> None:
    rng = np.random.default_rng(4)
    controls, own = rng.normal(size=(5, 6)), rng.normal(1, 1, 6)
    own[2], controls[3, 4] = math.nan, math.nan
    found = statistics.p_above_controls(own - controls.mean(axis=0), controls)
    null = []
    for group in (0, 1, 3, 5):
        for one in range(5):
            others = [controls[other, group] for other in range(5) if other != one]
            null.append(controls[one, group] - sum(others) / 4)
    for group in (0, 1, 3, 5):
        excess = own[group] - sum(controls[:, group]) / 5
        wanted = (1 + sum(value >= excess for value in null)) / 21
        assert found[group] == pytest.approx(wanted)
    assert np.isnan(found[[2, 4]]).all()
    assert np.isnan(statistics.p_above_controls(own, controls[:1])).all()


def test_p_values_of_what_is_as_its_controls_are_no_smaller_than_chance_has_it() -> None:
    rng = np.random.default_rng(5)
    small = discovered = 0
    for _ in range(60):
        values = rng.normal(0.1, 0.02, size=(6, 100))
        excess = values[0] - values[1:].mean(axis=0)
        p_values = statistics.p_above_controls(excess, values[1:])
        small += np.count_nonzero(p_values < 0.05)
        discovered += bool((statistics.benjamini_hochberg(p_values) < 0.05).any())
    assert 0.03 < small / 6000 < 0.06
    assert discovered <= 6
    p_values = statistics.p_above_controls(excess + 0.1, values[1:])
    assert (statistics.benjamini_hochberg(p_values) < 0.05).all()


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


def test_no_q_value_is_below_its_p_value() -> None:
    """Nor by rounding: 0.973 · n / n is less than 0.973 for some n."""
    for n in range(1, 200):
        p_values = np.full(n, 0.973)
        assert (statistics.benjamini_hochberg(p_values) >= p_values).all(), n
