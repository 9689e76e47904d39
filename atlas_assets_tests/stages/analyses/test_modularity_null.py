"""The permutation null: margins kept, all matrices equally likely, p-values against enumeration."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import SettingsError
from atlas_assets.stages import streams
from atlas_assets.stages.analyses import modularity_null
from atlas_assets.stages.masks.masks import Masks
from atlas_assets_tests.oracles import analyses_naive as naive
from atlas_assets_tests.stages.random_atlas import concept_names, masks, refused

seeds = st.integers(0, 2**32 - 1)

#: small matrices: derangements' relatives, a mixture of sizes, a circuit that can't change
SMALL = {
    "permutation matrices": ["100", "010", "001"],
    "two of four": ["1100", "0110", "0011", "1001"],
    "odd, unequal": ["1110", "1001", "0100", "0011", "1000"],
    "one empty, one full": ["0000", "1100", "0110", "1111", "0011"],
}


def matrix(rows: list[str]) -> np.ndarray:
    return np.array([[letter == "1" for letter in row] for row in rows])


def sets(bits) -> list[set[int]]:
    return [set(np.flatnonzero(row).tolist()) for row in bits]


@settings(deadline=None, max_examples=80)
@given(seed=seeds, n=st.integers(1, 20), width=st.integers(1, 70))
def test_margins_are_kept_exactly(seed, n, width):
    rng = np.random.default_rng(seed)
    bits = rng.random((n, width)) < rng.choice([0.0, 0.1, 0.5, 0.9, 1.0], size=(n, 1))
    before = bits.copy()
    for sample in itertools.islice(modularity_null.randomisations(bits, rng), 3):
        assert sample.dtype == bool
        assert sample.sum(axis=0).tolist() == bits.sum(axis=0).tolist()
        assert sample.sum(axis=1).tolist() == bits.sum(axis=1).tolist()
    assert np.array_equal(bits, before)


@pytest.mark.parametrize("rows", SMALL.values(), ids=SMALL)
def test_every_matrix_of_the_margins_is_equally_likely(rows):
    bits = matrix(rows)
    everything = set(naive.with_the_same_margins(sets(bits), bits.shape[1]))
    n = 25 * len(everything)
    chain = modularity_null.randomisations(bits, np.random.default_rng(2))
    found = Counter(
        tuple(frozenset(row) for row in sets(sample)) for sample in itertools.islice(chain, n)
    )
    assert set(found) == everything
    freedom = len(everything) - 1
    chi_square = sum((times - 25) ** 2 / 25 for times in found.values())
    # mean and standard deviation of χ² are f and √2f; four of these are beyond any luck
    assert abs(chi_square - freedom) < 4 * np.sqrt(2 * freedom)


@pytest.mark.parametrize("rows", SMALL.values(), ids=SMALL)
def test_p_values_approach_those_of_all_matrices(rows):
    bits = matrix(rows)
    universal = Masks(concept_names(len(rows)), bits[:, np.newaxis])
    table = modularity_null.permutation_null(universal, permutations=1000)
    for own, row in enumerate(table.iter_rows(named=True)):
        observed = naive.trimmed_mean(sets(bits), own, 0.0)
        null = naive.null_distribution(sets(bits), bits.shape[1], own, 0.0)
        exact = sum(value <= observed for value in null) / len(null)
        mean = float(sum(null) / len(null))
        spread = np.sqrt(float(sum(value**2 for value in null) / len(null)) - mean**2 + 1e-15)
        assert row["observed_trimmed_jaccard"] == pytest.approx(float(observed), abs=1e-12)
        assert row["p_value"] == pytest.approx(exact, abs=0.05)
        assert row["null_mean"] == pytest.approx(mean, abs=5 * spread / np.sqrt(1000) + 1e-6)
        assert row["null_sd"] == pytest.approx(spread, rel=0.1, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(seed=seeds, n=st.integers(0, 15))
def test_table_is_sound_and_repeatable_on_any_cut_of_the_grid(seed, n):
    universal = masks(np.random.default_rng(seed), concept_names(n), n_layers=2)
    arguments = {"permutations": 4, "seed": seed}
    table = modularity_null.permutation_null(universal, **arguments)
    assert table.schema == modularity_null.SCHEMA.polars
    assert table.select("layer", "object").rows() == [
        (layer, name) for layer in range(2) for name in universal.names
    ]
    assert set((table["p_value"] * 5).round(9)) <= {1, 2, 3, 4, 5}
    assert table["null_mean"].is_between(0, 1).all()
    assert (table["null_sd"] >= 0).all()
    assert table.select("p_trim", "permutations", "seed").unique().rows() == [(0.0, 4, seed)] * min(
        n, 1
    )
    assert table.equals(modularity_null.permutation_null(universal, **arguments))


def test_a_layer_does_not_depend_on_how_many_others_there_are():
    universal = masks(np.random.default_rng(4), concept_names(12), n_layers=4, width=60)
    shallow = Masks(universal.names, universal.bits[:, :2])
    whole = modularity_null.permutation_null(universal, permutations=3)
    cut = modularity_null.permutation_null(shallow, permutations=3)
    assert whole.head(cut.height).equals(cut)


def test_a_circuit_that_stands_apart_is_found_and_no_other():
    """Thirty circuits drawn from one half of the neurons, one mostly from the other."""
    rng = np.random.default_rng(1)
    bits = np.zeros((31, 1, 200), dtype=bool)
    bits[:, 0, :100] = rng.random((31, 100)) < 0.4
    bits[:, 0, 100:] = rng.random((31, 100)) < 0.04
    bits[7, 0, :100], bits[7, 0, 100:] = False, rng.random(100) < 0.4
    table = modularity_null.permutation_null(Masks(concept_names(31), bits), permutations=199)
    assert table["p_value"][7] == 1 / 200
    assert table["observed_trimmed_jaccard"][7] < table["null_mean"][7]
    assert table["p_value"].to_list().count(1 / 200) == 1


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("fill", [False, True])
def test_circuits_that_cannot_change_have_p_one(n, fill):
    bits = np.random.default_rng(2).random((6, 1, 30)) < 0.4
    bits[1], bits[4] = False, True
    table = modularity_null.permutation_null(Masks(concept_names(6), bits), permutations=20)
    assert table["p_value"][1] == table["p_value"][4] == 1.0
    assert table["null_sd"][1] == 0.0
    universal = Masks(concept_names(n), np.full((n, 2, 9), fill))
    table = modularity_null.permutation_null(universal, permutations=2)
    assert set(table["p_value"]) == {1.0}
    assert set(table["observed_trimmed_jaccard"]) == {float(fill and n > 1)}


def test_the_default_number_of_trades_forgets_the_structure():
    """Circuits in two families: successive samples have nothing in common, nor has the start."""
    rng = np.random.default_rng(3)
    core = rng.random((2, 400)) < 0.2
    bits = np.repeat(core, 20, axis=0) & (rng.random((40, 400)) < 0.9)
    _, null = modularity_null.null_of_layer(bits, 120, streams.of_layer(0, 0))
    deviation = null - null.mean(axis=0)
    correlation = (deviation[1:] * deviation[:-1]).sum() / (deviation**2).sum()
    assert abs(correlation) < 0.06
    # the first samples are not nearer to the observed means than the later ones
    assert null[:20].mean() == pytest.approx(null[-20:].mean(), rel=0.01)


@pytest.mark.parametrize("arguments", [{"permutations": 0}, {"permutations": 5, "seed": -3}])
def test_impossible_arguments_are_refused(arguments):
    name, value = list(arguments.items())[-1]
    universal = Masks(concept_names(3), np.ones((3, 1, 4), dtype=bool))
    with refused(SettingsError, name, repr(value)):
        modularity_null.permutation_null(universal, **arguments)
