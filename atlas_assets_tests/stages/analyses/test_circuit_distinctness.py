"""Distinctness of circuits against sets and fractions, mask by mask."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.stages.analyses import circuit_distinctness as distinctness
from atlas_assets.stages.setting import REFERENCE
from atlas_assets_tests.stages.random_atlas import concept_names, masks


def naive(circuits: list[frozenset[int]], width: int) -> dict[str, object]:
    n = len(circuits)
    core = [
        x for x in range(width) if Fraction(sum(x in c for c in circuits), n) >= Fraction(9, 10)
    ]
    similar = [
        Fraction(len(a & b), len(a | b)) if a | b else Fraction(0)
        for a, b in itertools.combinations(circuits, 2)
    ]
    shares = [count / n for count in Counter(circuits).values()]
    return {
        "n_circuits": n,
        "distinct": len(set(circuits)),
        "core_size": len(core),
        "mean_jaccard": float(sum(similar) / len(similar)) if similar else None,
        "entropy_bits": math.fsum(-share * math.log2(share) for share in shares),
    }


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 30))
def test_equals_the_naive_measures(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = masks(rng, concept_names(n), width=int(rng.integers(1, 12)))
    table = distinctness.distinctness(REFERENCE, drawn)
    distinctness.SCHEMA.check(table, where="the table")
    assert table["layer"].to_list() == list(range(drawn.n_layers))
    for layer, row in enumerate(table.iter_rows(named=True)):
        circuits = [frozenset(np.flatnonzero(mask).tolist()) for mask in drawn.bits[:, layer]]
        for name, value in naive(circuits, drawn.width).items():
            assert row[name] == pytest.approx(value, abs=1e-12), (name, layer)


def test_the_report_shows_the_reference_setting() -> None:
    drawn = masks(np.random.default_rng(1), concept_names(5))
    shown = distinctness.shown(distinctness.distinctness(REFERENCE, drawn))
    assert "at ε=0.5, C=0.8" in shown.caption
    assert len(shown.rows) == drawn.n_layers
