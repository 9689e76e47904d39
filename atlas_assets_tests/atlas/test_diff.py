"""Differences between two atlases against Python sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.atlas import diff
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.setting import REFERENCE
from atlas_assets_tests.stages.random_atlas import concept_names, masks

seeds = st.integers(0, 2**32 - 1)


def two_atlases(seed: int) -> tuple[Masks, Masks]:
    """Of some concepts in common, in which some circuits are equal."""
    rng = np.random.default_rng(seed)
    names = concept_names(8)
    one = masks(rng, names[:6], 3, width=12)
    bits = masks(rng, names[2:], 3, width=12).bits.copy()
    kept = rng.random((4, 3)) < 0.5
    bits[:4][kept] = one.bits[2:][kept]
    return one, Masks(tuple(names[2:]), bits)


def sets(of: Masks) -> dict[tuple[str, int], set[int]]:
    return {
        (name, layer): set(np.flatnonzero(of.bits[i, layer]).tolist())
        for i, name in enumerate(of.names)
        for layer in range(of.n_layers)
    }


@settings(deadline=None, max_examples=40)
@given(seed=seeds)
def test_the_rows_are_those_of_set_differences(seed: int) -> None:
    a, b = two_atlases(seed)
    left, right = sets(a), sets(b)
    found = diff.masks(REFERENCE, a, b)
    assert found.neurons.schema == diff.NEURONS_SCHEMA
    expected = [
        (
            *(0.5, 0.8, name, name.partition("__")[0], layer),
            *(len(left[name, layer]), len(right[name, layer])),
            len(right[name, layer] - left[name, layer]),
            len(left[name, layer] - right[name, layer]),
            len(left[name, layer] & right[name, layer])
            / len(left[name, layer] | right[name, layer]),
            sorted(right[name, layer] - left[name, layer]),
            sorted(left[name, layer] - right[name, layer]),
        )
        for name, layer in sorted(left.keys() & right.keys())
        if left[name, layer] != right[name, layer]
    ]
    assert found.neurons.rows() == expected
    only = [(0.5, 0.8, n, "a") for n in a.names[:2]] + [(0.5, 0.8, n, "b") for n in b.names[4:]]
    assert found.concepts.sort("only_in").rows() == only


@settings(deadline=None, max_examples=40)
@given(seed=seeds)
def test_totals_agree_with_the_rows_and_a_swap_swaps_them(seed: int) -> None:
    a, b = two_atlases(seed)
    there, back = diff.masks(REFERENCE, a, b), diff.masks(REFERENCE, b, a)
    total = there.circuits.row(0, named=True)
    assert there.circuits.schema == diff.CIRCUITS_SCHEMA
    assert (total["concepts"], total["circuits"]) == (4, 12)
    assert total["changed"] == there.neurons.height
    assert total["gained"] == there.neurons["gained"].sum()
    assert total["lost"] == there.neurons["lost"].sum()
    unchanged = 12 - there.neurons.height
    mean = (unchanged + there.neurons["jaccard"].sum()) / 12
    assert total["mean_jaccard"] == pytest.approx(mean)
    assert back.neurons["neurons_gained"].equals(
        there.neurons["neurons_lost"].rename("neurons_gained")
    )
    assert back.circuits["mean_jaccard"].equals(there.circuits["mean_jaccard"])


@settings(deadline=None, max_examples=20)
@given(seed=seeds)
def test_an_atlas_does_not_differ_from_itself(seed: int) -> None:
    a, _ = two_atlases(seed)
    found = diff.masks(REFERENCE, a, a)
    assert found.neurons.is_empty()
    assert found.concepts.is_empty()
    assert found.circuits.row(0) == (0.5, 0.8, 6, 18, 0, 0, 0, 1.0)


def test_atlases_without_a_common_concept() -> None:
    bits = np.zeros((1, 2, 3), dtype=np.bool_)
    found = diff.masks(REFERENCE, Masks(("ast__For",), bits), Masks(("ast__If",), bits))
    assert found.circuits.row(0) == (0.5, 0.8, 0, 0, 0, 0, 0, None)
    assert found.concepts["only_in"].to_list() == ["a", "b"]


def test_neurons_of_different_models_are_not_matched() -> None:
    narrow, wide = (Masks(("ast__For",), np.zeros((1, 2, w), dtype=np.bool_)) for w in (3, 4))
    with pytest.raises(ValueError, match="2 × 3 neurons against 2 × 4"):
        diff.masks(REFERENCE, narrow, wide)


def test_fields_that_are_absent_equal_those_that_are_not_known() -> None:
    found = diff.fields({"model": "x", "dtype": None, "same": "1"}, {"model": "y", "same": "1"})
    assert found.schema == diff.FIELDS_SCHEMA
    assert found.rows() == [("model", "x", "y")]
    assert diff.fields({"b": "1"}, {"a": "2"}).rows() == [("a", None, "2"), ("b", "1", None)]


@dataclass(frozen=True)
class SaidClaim:
    id: str
    observed: str
    holds: bool | None
    statement: str = "what is stated"
    expected: str = "3"


def test_a_claim_flips_where_both_verdicts_are_known_and_differ() -> None:
    a = [
        SaidClaim("broken now", "3", True),
        SaidClaim("other value", "4", False),
        SaidClaim("same", "3", True),
        SaidClaim("unknown there", "3", True),
    ]
    b = [
        SaidClaim("broken now", "4", False),
        SaidClaim("new", "3", True),
        SaidClaim("other value", "5", False),
        SaidClaim("same", "3", True),
        SaidClaim("unknown there", "", None),
    ]
    found = diff.claims(a, b)
    assert found.schema == diff.CLAIMS_SCHEMA
    columns = ("id", "observed_a", "observed_b", "holds_a", "holds_b", "flips")
    assert found.select(columns).rows() == [
        ("broken now", "3", "4", True, False, True),
        ("other value", "4", "5", False, False, False),
        ("unknown there", "3", "", True, None, False),
        ("new", None, "3", None, True, False),
    ]
    assert isinstance(found, pl.DataFrame)
    assert diff.claims(a, a).is_empty()
