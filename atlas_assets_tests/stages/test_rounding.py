"""Rounding and averaging: Python's for fractions; pandas' series and groups for means."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.stages.rounding import decimals, fractions, mean, means
from atlas_assets_tests.oracles import atlas_naive as naive

#: what pandas 2.2.2 gave for ``groupby(…).mean().round(4)``; rounding correctly (rows 1, 2) or
#: summing correctly (row 3) gives another last digit
PANDAS = [
    ((0.3805, 0.7133, 0.6125, 0.941, 0.9917, 0.7237, 0.8088, 0.1529), 0.6656),
    ((0.1306, 0.5144, 0.2496, 0.3428, 0.8173, 0.3982, 0.7844, 0.0135), 0.4064),
    ((0.0234, 0.4451, 0.8403, 0.0451, 0.2405, 0.2813, 0.1093, 0.553), 0.3172),
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
