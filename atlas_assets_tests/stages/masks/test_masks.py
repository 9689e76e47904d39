"""Stage 13 against per-neuron loops and Python sets: masks must agree bit for bit."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import ArtifactError, StimulusError
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.concepts import pairs_of_concepts
from atlas_assets.stages.masks import masks as m
from atlas_assets.stages.masks.masks import CheckerMasks, Masks, ObjectMasks
from atlas_assets.stages.setting import REFERENCE, Setting
from atlas_assets_tests.oracles import atlas_naive as naive
from atlas_assets_tests.stages.random_atlas import (
    SWEEP,
    activations,
    concept_names,
    flipped,
    masks,
    pair_names,
    refused,
)

seeds = st.integers(0, 2**32 - 1)
quick = settings(deadline=None, max_examples=40)


def naive_circuits(found: Activations, setting: Setting) -> naive.Circuits:
    at = setting.epsilon, setting.consistency
    return naive.circuits(found.names, found.n_prompts, found.sums, found.counts, *at)


def at_one(found: Activations, rng: np.random.Generator) -> Setting:
    """The mean and the rate of one neuron: that mean is not above ε, that rate is enough."""
    unit, *place = (int(rng.integers(n)) for n in found.sums.shape)
    n = np.float32(found.n_prompts[unit])
    strength, times = (array[unit, *place] for array in (found.sums, found.counts))
    return Setting(float(strength / n), float(np.float32(times) / n) or 1.0)


@quick
@given(seed=seeds, n_pairs=st.integers(1, 12), n_layers=st.integers(1, 6))
def test_object_masks_equal_the_naive_ones_bit_for_bit(seed, n_pairs, n_layers):
    rng = np.random.default_rng(seed)
    found = activations(rng, pair_names(rng, n_pairs), n_layers)
    for setting in (SWEEP[seed % 9], Setting(0.1, 0.37), Setting(0.0, 1.0), at_one(found, rng)):
        pairs = naive_circuits(found, setting)
        universals = naive.universals(pairs)
        ours = m.object_masks(found, setting)
        assert ours.pairs is not None
        assert ours.setting == setting
        assert ours.pairs.names == tuple(sorted(pairs))
        assert ours.universal.names == tuple(universals)
        np.testing.assert_array_equal(ours.pairs.bits, naive.to_bits(pairs, found.width))
        np.testing.assert_array_equal(ours.universal.bits, naive.to_bits(universals, found.width))
        layer = min(4, n_layers - 1)
        for prefix, matrix in ours.matrices.items():
            members = [c[layer] for name, c in universals.items() if naive.kind(name) == prefix]
            expected = [[naive.jaccard(a, b) for b in members] for a in members]
            assert matrix.tolist() == expected


@quick
@given(seed=seeds, order=st.permutations(SWEEP))
def test_a_lazy_sweep_equals_single_settings_in_whatever_order(seed, order):
    rng = np.random.default_rng(seed)
    found = activations(rng, pair_names(rng, 5))
    before = found.digest()
    swept = m.sweep_masks(found, iter(order))
    assert next(swept)[0] == order[0]
    for setting, (of, ours) in zip(order[1:], swept, strict=True):
        assert of == setting
        np.testing.assert_array_equal(ours.bits, m.threshold(found, setting).bits)
    assert found.digest() == before


def test_an_epsilon_beyond_float32_silences_everything():
    found = activations(np.random.default_rng(0), ("For__len", "If__len"))
    for epsilon in (float(np.finfo(np.float32).max), 1e300):
        assert not m.threshold(found, Setting(epsilon, 0.2)).bits.any()


def test_sizes_selection_and_digest():
    found = masks(np.random.default_rng(1), concept_names(5))
    circuits = naive.from_bits(found)
    assert found.sizes().tolist() == [[len(at) for at in circuits[name]] for name in found.names]
    assert found.sizes().dtype == np.int64
    for name in found.names:
        assert found.neurons(name) == [sorted(layer) for layer in circuits[name]]
    chosen = found.select([found.names[3], found.names[0], found.names[3]])
    assert chosen.names == (found.names[0], found.names[3])
    np.testing.assert_array_equal(chosen.bits, found.bits[[0, 3]])
    assert found.select([]).bits.shape == (0, 3, 24)
    assert found.digest() == Masks(found.names, found.bits.copy()).digest()
    assert found.digest() != flipped(found, (0, 0, 0)).digest()
    assert found.digest() != Masks(concept_names(6)[1:], found.bits).digest()


def test_object_masks_list_their_concepts_and_digest_all_parts():
    rng = np.random.default_rng(2)
    whole = m.object_masks(activations(rng, pair_names(rng, 9)), REFERENCE)
    assert whole.pairs is not None
    assert whole.universal.names == tuple(pairs_of_concepts(whole.pairs.names))
    assert whole.digest() == m.with_universals(REFERENCE, whole.pairs).digest()
    matrices = whole.matrices
    other = flipped(whole.universal, (0, 0, 0))
    assert whole.digest() != ObjectMasks(REFERENCE, whole.pairs, other, matrices).digest()
    with refused(ArtifactError, "the universal part only"):
        ObjectMasks(REFERENCE, None, whole.universal, matrices).digest()


def test_checker_masks_hold_concepts():
    found = activations(np.random.default_rng(4), concept_names(4))
    ours = m.checker_masks(found, REFERENCE)
    assert ours.setting == REFERENCE
    assert ours.digest() == m.threshold(found, REFERENCE).digest()
    with pytest.raises(StimulusError):
        CheckerMasks(REFERENCE, Masks(("For__len",), ours.masks.bits[:1]))


BITS = np.zeros((2, 3, 4), dtype=bool)


@pytest.mark.parametrize(
    ("names", "bits", "found"),
    [
        (("b", "a"), BITS, "'a' after 'b'"),
        (("a", "a"), BITS, "'a' after 'a'"),
        (("a", "b"), BITS.astype(np.uint8), "dtype uint8"),
        (("a",), BITS, "shape (2, 3, 4)"),
        (("a", "b"), BITS[0], "shape (3, 4)"),
        (("a", "b"), BITS[:, :0], "shape (2, 0, 4)"),
        (("a", "b"), BITS[:, :, :0], "shape (2, 3, 0)"),
    ],
)
def test_unsound_masks_are_refused(names, bits, found):
    with refused(ArtifactError, found):
        Masks(names, bits)


def test_a_missing_unit_is_named_with_its_neighbours():
    found = Masks(("ast__For", "ast__While"), BITS)
    for ask in (found.index, lambda name: found.select([name])):
        with refused(ArtifactError, "2 units, the nearest: ast__For"):
            ask("ast__Fro")


def test_object_masks_whose_parts_disagree_are_refused():
    rng = np.random.default_rng(5)
    good = m.with_universals(REFERENCE, masks(rng, ("For__len", "If__len")))
    square = good.matrices
    small, single = square["ast"], square["builtin"]
    narrow = Masks(good.universal.names, good.universal.bits[:, :, :-1].copy())
    strangers = masks(rng, ("For__len", "Try__len"))
    for parts, found in (
        ((good.pairs, narrow, square), "3 layers of 24 neurons"),
        ((strangers, good.universal, square), "other ones: ast__If, ast__Try"),
        ((good.pairs, good.universal, {"ast": single, "builtin": single}), "(1, 1)"),
        (
            (good.pairs, good.universal, {"ast": small, "builtin": single.astype(np.float32)}),
            "float32",
        ),
        ((good.pairs, good.universal, {"own": single}), "expected: ast and builtin"),
    ):
        with refused(ArtifactError, found):
            ObjectMasks(REFERENCE, *parts)


@quick
@given(seed=seeds, n=st.integers(1, 6))
def test_the_universal_table_holds_every_mask_and_gives_it_back(seed, n):
    rng = np.random.default_rng(seed)
    by_setting = {SWEEP[i]: masks(rng, concept_names(n)) for i in rng.permutation(3)}
    table = m.universal_table(by_setting)
    assert table.schema == m.UNIVERSAL_SCHEMA.polars
    expected = [
        (s.epsilon, s.consistency, name, naive.kind(name), layer, 24, len(neurons), sorted(neurons))
        for s in sorted(by_setting)
        for name, layers in naive.from_bits(by_setting[s]).items()
        for layer, neurons in enumerate(layers)
    ]
    assert table.rows() == expected
    for setting, universal in by_setting.items():
        back = m.universal_from_table(table.reverse(), setting)
        assert back.names == universal.names
        np.testing.assert_array_equal(back.bits, universal.bits)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda t: t.with_columns(epsilon=0.25), "ε=0.25, C=0.8"),  # the settings that are there
        (lambda t: t.clear(), "an empty table"),
        (lambda t: t[1:], "5 rows"),
        (lambda t: pl.concat([t, t[:1]]), "7 rows"),
        (lambda t: t.with_columns(width=pl.int_range(7, 13)), "6 rows"),
    ],
)
def test_a_damaged_universal_table_is_refused(damage, found):
    table = m.universal_table({REFERENCE: masks(np.random.default_rng(0), concept_names(2))})
    with refused(ArtifactError, found):
        m.universal_from_table(damage(table), REFERENCE)
