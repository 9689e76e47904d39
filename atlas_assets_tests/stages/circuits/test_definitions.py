"""Definitions against sets built neuron by neuron; shuffled labels find nothing."""

from __future__ import annotations

import numpy as np
import pytest

from atlas_assets.stages.circuits import definitions
from atlas_assets.stages.circuits.identification import identify
from atlas_assets.stages.masks.masks import Masks, universal
from atlas_assets_tests.stages.circuits import planted
from atlas_assets_tests.stages.random_atlas import concept_names, masks, pair_names


def test_pair_masks_hold_what_fires_on_enough_prompts() -> None:
    rng = np.random.default_rng(0)
    n_prompts = np.array([10, 3, 0, 7], dtype=np.int32)
    counts = rng.integers(0, n_prompts[:, None, None] + 1, (4, 2, 9)).astype(np.int32)
    found = definitions.firing_masks(("a", "b", "c", "d"), counts, n_prompts, 0.5)
    for unit, n in enumerate(n_prompts.tolist()):
        for layer in range(2):
            for neuron in range(9):
                fires = n > 0 and counts[unit, layer, neuron] / n >= 0.5
                assert found.bits[unit, layer, neuron] == fires


@pytest.mark.parametrize("share", [0.5, 0.8, 1.0])
def test_calibrated_circuits_hold_what_enough_pair_masks_hold(share: float) -> None:
    pairs = masks(np.random.default_rng(1), pair_names(np.random.default_rng(2), 20))
    found = definitions.calibrated(pairs, share)
    for row, concept in enumerate(found.names):
        kind, _, name = concept.partition("__")
        own = [
            number
            for number, pair in enumerate(pairs.names)
            if pair.split("__", 1)[0 if kind == "ast" else 1] == name
        ]
        for layer in range(pairs.n_layers):
            for neuron in range(pairs.width):
                held = sum(pairs.bits[number, layer, neuron] for number in own)
                enough = held > 0 and np.float32(held) / np.float32(len(own)) >= np.float32(share)
                assert found.bits[row, layer, neuron] == enough
    if share == 1.0:
        assert found.digest() == universal(pairs).digest()


def test_contrastive_circuits_hold_the_neurons_of_highest_contrast() -> None:
    rng = np.random.default_rng(3)
    published = masks(rng, concept_names(6))
    scores = rng.normal(size=published.bits.shape)
    found = definitions.contrastive(scores, published)
    for row in range(6):
        contrast = {
            (layer, neuron): scores[row, layer, neuron]
            - sum(scores[other, layer, neuron] for other in range(6)) / 6
            for layer in range(3)
            for neuron in range(24)
        }
        size = int(published.bits[row].sum())
        best = sorted(contrast, key=lambda place: -contrast[place])[:size]
        assert {tuple(place) for place in np.argwhere(found.bits[row]).tolist()} == set(best)


def test_matched_circuits_are_others_of_similar_strength() -> None:
    rng = np.random.default_rng(4)
    bits = rng.random((4, 3, 60)) < 0.1
    circuits = Masks(concept_names(4), bits)
    strength = rng.random((4, 3, 60))
    drawn = [definitions.matched(circuits, strength, draw=draw) for draw in range(5)]
    again = definitions.matched(circuits, strength, draw=1)
    assert drawn[1].digest() == again.digest()
    assert len({one.digest() for one in drawn}) == 5
    for one in drawn:
        assert not (one.bits & bits).any()
        assert (one.sizes() == circuits.sizes()).all()
        for row, layer in np.ndindex(4, 3):
            own, other = strength[row, layer, bits[row, layer]], one.bits[row, layer]
            apart = np.abs(np.sort(own) - np.sort(strength[row, layer, other]))
            assert apart.sum() <= 0.15 * own.size


def test_how_strong_a_control_is() -> None:
    """Of 8 and 6 the two strongest of a layer: the control has 4 and 2. Of none there is none."""
    bits = np.zeros((2, 1, 4), dtype=np.bool_)
    bits[0, 0, :2] = True
    strength = np.array([[[8.0, 6.0, 4.0, 2.0]]] * 2)
    found = definitions.matched_ratios(Masks(("ast__A", "ast__B"), bits), strength)
    assert found == {"ast__A": pytest.approx(3 / 7)}


def test_only_a_control_of_the_circuits_size_is_compared_with_it() -> None:
    """Half of a layer leaves as many others; three of four, of one layer or of all, do not."""
    bits = np.zeros((3, 2, 4), dtype=np.bool_)
    bits[0, :, :2] = bits[1, 0, :3] = bits[2] = True
    circuits, strength = Masks(("ast__A", "ast__B", "ast__C"), bits), np.ones((3, 2, 4))
    same_size = definitions.are_matched(circuits)
    assert same_size.tolist() == [True, False, False]
    controls = definitions.matched(circuits, strength)
    assert (controls.sizes() == circuits.sizes()).all(axis=1).tolist() == [True, False, False]
    assert definitions.matched_ratios(circuits, strength) == {"ast__A": 1.0}


def test_a_layer_without_others_has_fewer_matched_neurons() -> None:
    bits = np.ones((1, 1, 5), dtype=np.bool_)
    bits[0, 0, 3] = False
    found = definitions.matched(Masks(("ast__C",), bits), np.zeros((1, 1, 5)))
    assert np.flatnonzero(found.bits).tolist() == [3]


def test_planted_circuits_are_found_and_those_of_shuffled_labels_are_not() -> None:
    discovered, held_out = planted.pair_masks(seed=5)
    found = definitions.calibrated(discovered)
    for row, name in enumerate(found.names):
        assert set(np.flatnonzero(found.bits[row])) == planted.circuit_of(name) | planted.COMMON
    shuffled = definitions.calibrated(planted.shuffled(discovered, seed=6))
    true, false = (
        identify(each.bits.astype(np.float64), each.names, held_out) for each in (found, shuffled)
    )
    assert np.mean([one.top1 for one in true.values()]) > 0.9
    chance = np.mean([1 / one.n for one in false.values()])
    assert abs(np.mean([one.top1 for one in false.values()]) - chance) < 0.15


def test_means_of_a_concept_are_over_all_prompts_of_its_pairs() -> None:
    names = ("For__len", "For__list", "If__len")
    sums = np.arange(6, dtype=np.float64).reshape(3, 1, 2)
    n_prompts = np.array([2, 3, 5], dtype=np.int32)
    found = definitions.concept_means(names, sums, n_prompts)
    # ast__For, ast__If, builtin__len, builtin__list
    assert found[:, 0].tolist() == [[2 / 5, 4 / 5], [4 / 5, 1.0], [4 / 7, 6 / 7], [2 / 3, 1.0]]
