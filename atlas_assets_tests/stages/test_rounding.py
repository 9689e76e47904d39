"""Rounding and averaging: Python's for fractions; pandas' series and groups for means."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.stages.rounding import decimals, fractions, mean, means
from atlas_assets_tests.oracles import atlas_naive as naive

#: what pandas 2.2.2 gave for ``groupby(…).mean().round(4)``; rounding correctly (rows 1-4) or
#: summing correctly (rows 5-8) gives another last digit
PANDAS = [
    ((0.3805, 0.7133, 0.6125, 0.941, 0.9917, 0.7237, 0.8088, 0.1529), 0.6656),
    ((0.1306, 0.5144, 0.2496, 0.3428, 0.8173, 0.3982, 0.7844, 0.0135), 0.4064),
    ((0.8277, 0.5338, 0.0412, 0.5362, 0.6298, 0.0884, 0.4806, 0.9427), 0.51),
    ((0.9014, 0.5974, 0.4867, 0.7259, 0.9925, 0.3339, 0.1097, 0.2409), 0.5486),
    ((0.0234, 0.4451, 0.8403, 0.0451, 0.2405, 0.2813, 0.1093, 0.553), 0.3172),
    ((0.8602, 0.6192, 0.1393, 0.6631, 0.6303, 0.8603, 0.635, 0.8962), 0.6629),
    ((0.8752, 0.5824, 0.2083, 0.3109, 0.1182, 0.7675, 0.0368, 0.6363), 0.4419),
    ((0.1893, 0.9812, 0.1256, 0.9355, 0.7713, 0.2266, 0.4675, 0.525), 0.5278),
    ((0.805, 0.8079, 0.5153, 0.2858, 0.0539, 0.3834, 0.4085, 0.0453), 0.4131),
]


def test_every_fraction_of_up_to_300_neurons_is_pythons():
    wholes = np.repeat(np.arange(301), np.arange(301) + 1)
    parts = np.concatenate([np.arange(n + 1) for n in range(301)])
    expected = [naive.fraction(p, w) for p, w in zip(parts.tolist(), wholes.tolist(), strict=True)]
    assert fractions(parts, wholes).tolist() == expected


@settings(deadline=None)
@given(st.integers(1, 2**40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_any_fraction_and_decimal_is_pythons(pair):
    part, whole = np.array([pair]).T
    assert fractions(part, whole).tolist() == [round(pair[0] / pair[1], 4)]
    assert decimals(part / whole).tolist() == [round(pair[0] / pair[1], 4)]


def test_shapes_are_kept():
    assert fractions(np.ones((2, 0, 3), np.int64), np.ones((2, 0, 3), np.int64)).shape == (2, 0, 3)
    assert means(np.ones((4, 2, 3))).shape == (2, 3)


@pytest.mark.parametrize(("values", "expected"), PANDAS)
def test_a_mean_is_the_one_pandas_gives(values, expected):
    assert means(np.array(values)) == expected
    assert naive.mean(values) == expected


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**4), min_size=1, max_size=30), st.sampled_from([1, 4]))
def test_means_equal_the_naive_ones(numerators, places):
    values = [n / 10**4 for n in numerators]
    assert means(np.array(values), places) == naive.mean(values, places)
    assert means(np.array(numerators), places) == naive.mean(numerators, places)


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**4), max_size=700), st.sampled_from([1, 4]))
def test_a_mean_of_all_is_that_of_a_pandas_series(numerators, places):
    for values in ([n / 10**4 for n in numerators], numerators):
        expected = round(pd.Series(values).mean(), places) if values else None
        assert mean(np.array(values), places) == expected
        assert naive.mean_of_series(values, places) == expected
