"""How far atlases agree, against scipy and Python sets."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from atlas_assets.atlas import stability
from atlas_assets.stages.masks.masks import Masks

NAMES = ("ast__For", "ast__If", "builtin__len")


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=30
    )
)
def test_rho_is_scipys(rows: list[tuple[int, int, int]]) -> None:
    columns = [
        dict(zip(map(str, range(len(rows))), column, strict=True))
        for column in zip(*rows, strict=True)
    ]
    found = stability.agreement(columns)
    if any(len(set(column.values())) == 1 for column in columns):
        assert found is None
        return
    values = [list(column.values()) for column in columns]
    rhos = [spearmanr(a, b).statistic for a, b in itertools.combinations(values, 2)]
    assert found is not None
    assert found.items == len(rows)
    assert found.mean == pytest.approx(np.mean(rhos), abs=1e-12)
    assert found.lowest == pytest.approx(min(rhos), abs=1e-12)


def test_only_what_all_have_is_ranked() -> None:
    a = {"x": 1.0, "y": 2.0, "z": 3.0}
    found = stability.agreement([a, {"x": 5.0, "z": 4.0, "only here": 0.0}])
    assert found is not None
    assert found.items == 2
    assert (found.mean, found.lowest) == pytest.approx((-1.0, -1.0))
    assert stability.agreement([a, {"w": 1.0}]) is None
    assert stability.agreement([a]) is None
    assert stability.agreement([]) is None


def test_sizes_and_similarities_are_those_of_sets() -> None:
    of = Masks(NAMES, np.random.default_rng(1).random((len(NAMES), 2, 40)) < 0.4)
    sets = {
        name: [set(np.flatnonzero(of.bits[i, layer])) for layer in range(of.n_layers)]
        for i, name in enumerate(NAMES)
    }
    assert stability.circuit_sizes(of) == {
        name: sum(map(len, layers)) for name, layers in sets.items()
    }
    found = stability.similarities(of)
    assert list(found) == [f"{a} {b}" for a, b in itertools.combinations(NAMES, 2)]
    for a, b in itertools.combinations(NAMES, 2):
        each = [len(x & y) / len(x | y) for x, y in zip(sets[a], sets[b], strict=True)]
        assert found[f"{a} {b}"] == pytest.approx(np.mean(each), abs=1e-15)


def test_the_concept_fraction_is_of_the_whole_circuit() -> None:
    counts = np.array([[[1, 3, 9], [2, 2, 0]], [[0, 0, 4], [0, 0, 1]]])
    assert stability.concept_fractions(["ast__For", "ast__If"], counts) == {"ast__For": 3 / 8}
