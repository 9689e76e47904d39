"""What is checked of masks holds of every sweep, and notices any single neuron that is off."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.masks import integrity
from atlas_assets.stages.masks.masks import Masks, sweep_masks, universal
from atlas_assets.stages.masks.packed import pack
from atlas_assets.stages.setting import Setting
from atlas_assets_tests.stages import random_atlas
from atlas_assets_tests.stages.random_atlas import SWEEP, flipped

seeds = st.integers(0, 2**32 - 1)
some = settings(deadline=None, max_examples=25)


def random_masks(seed: int, width: int = 11) -> tuple[np.random.Generator, Masks]:
    rng = np.random.default_rng(seed)
    return rng, random_atlas.masks(rng, random_atlas.pair_names(rng, 8), width=width)


@some
@given(seed=seeds)
def test_any_neuron_that_is_off_in_a_universal_mask_is_noticed(seed: int) -> None:
    rng, pairs = random_masks(seed)
    concepts = universal(pairs)
    inclusions = integrity.universal_masks_are_intersections(pack(pairs), pack(concepts))
    assert inclusions == 2 * len(pairs.names)
    where = tuple(int(rng.integers(n)) for n in concepts.bits.shape)
    place = f"{concepts.names[where[0]]}, layer {where[1]}, neuron {where[2]}\n"
    with pytest.raises(ArtifactError, match=place):
        changed = flipped(concepts, where)
        integrity.universal_masks_are_intersections(pack(pairs), pack(changed))


@some
@given(seed=seeds, sweep=st.sets(st.sampled_from(SWEEP), min_size=1))
def test_any_sweep_is_monotone_and_any_neuron_that_is_added_is_noticed(
    seed: int, sweep: set[Setting]
) -> None:
    rng = np.random.default_rng(seed)
    found = random_atlas.activations(rng, random_atlas.pair_names(rng, 5))
    by_setting = dict(sweep_masks(found, sweep))
    integrity.sweep_is_monotone(by_setting)
    for one, other in product(sweep, sweep):
        in_line = one.epsilon == other.epsilon or one.consistency == other.consistency
        absent = np.argwhere(~by_setting[one].bits)
        if in_line and one < other and len(absent):
            where = tuple(absent[rng.integers(len(absent))].tolist())
            changed = {**by_setting, other: flipped(by_setting[other], where)}
            with pytest.raises(ArtifactError, match=f"layer {where[1]}, neuron {where[2]}\n"):
                integrity.sweep_is_monotone(changed)


def test_a_sweep_of_nine_settings_has_twelve_couples_of_neighbours() -> None:
    names = ("For__len", "If__len")
    found = random_atlas.activations(np.random.default_rng(0), names)
    assert integrity.sweep_is_monotone(dict(sweep_masks(found, SWEEP))) == 12


@some
@given(seed=seeds)
def test_any_neuron_in_which_masks_differ_is_noticed(seed: int) -> None:
    rng, masks = random_masks(seed)
    circuits = integrity.masks_agree(masks, masks, "one", "the other")
    assert circuits == len(masks.names) * masks.n_layers
    where = tuple(int(rng.integers(n)) for n in masks.bits.shape)
    with pytest.raises(ArtifactError, match=f"layer {where[1]}, neuron {where[2]}"):
        integrity.masks_agree(masks, flipped(masks, where), "one", "the other")


def test_masks_of_different_units_or_widths_are_not_compared_neuron_by_neuron() -> None:
    _, masks = random_masks(1)
    _, wider = random_masks(1, width=12)
    fewer = masks.select(masks.names[1:])
    for other, about in ((wider, "11 neurons"), (fewer, masks.names[0])):
        with pytest.raises(ArtifactError, match=about):
            integrity.masks_agree(masks, other, "one", "the other")
        with pytest.raises(ArtifactError, match=about):
            integrity.no_neuron_is_added(pack(masks), pack(other), SWEEP[0], SWEEP[1])
