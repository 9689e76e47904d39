"""What is checked of masks holds of every sweep, and notices any single neuron that is off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.masks import integrity
from atlas_assets.stages.masks.integrity import looser_neighbours, pack
from atlas_assets.stages.masks.masks import Masks, sweep_masks, universal
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
@given(seed=seeds)
def test_any_sweep_is_monotone_and_any_neuron_that_is_added_is_noticed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = random_atlas.pair_names(rng, 5)
    by_setting = dict(sweep_masks(random_atlas.activations(rng, names), SWEEP))
    assert integrity.sweep_is_monotone(by_setting) == 12
    tighter, looser = SWEEP[-1], SWEEP[0]
    absent = np.argwhere(~by_setting[looser].bits)
    if len(absent):
        where = tuple(absent[rng.integers(len(absent))].tolist())
        changed = {**by_setting, tighter: flipped(by_setting[tighter], where)}
        with pytest.raises(ArtifactError, match=f"layer {where[1]}, neuron {where[2]}\n"):
            integrity.sweep_is_monotone(changed)


@some
@given(seed=seeds)
def test_any_neuron_in_which_masks_differ_is_noticed(seed: int) -> None:
    rng, masks = random_masks(seed)
    circuits = integrity.masks_agree(masks, masks, "one", "the other")
    assert circuits == len(masks.names) * masks.n_layers
    where = tuple(int(rng.integers(n)) for n in masks.bits.shape)
    with pytest.raises(ArtifactError, match=f"layer {where[1]}, neuron {where[2]}"):
        integrity.masks_agree(masks, flipped(masks, where), "one", "the other")


@given(
    settings=st.sets(
        st.builds(Setting, st.sampled_from([0.0, 0.1, 0.5, 2.0]), st.sampled_from([0.2, 0.5, 1.0]))
    )
)
def test_neighbours_link_every_two_settings_that_can_be_compared(settings: set[Setting]) -> None:
    """Following neighbours leads from any setting to every looser one on its row and column."""
    for one in settings:
        near = looser_neighbours(one, settings)
        assert len(near) <= 2
        for other in settings:
            same_row = other.consistency == one.consistency and other.epsilon < one.epsilon
            same_column = other.epsilon == one.epsilon and other.consistency < one.consistency
            if same_row or same_column:
                reached, front = set(), {one}
                while front:
                    front = {n for s in front for n in looser_neighbours(s, settings)} - reached
                    reached |= front
                assert other in reached


def test_masks_of_different_units_or_widths_are_not_compared_neuron_by_neuron() -> None:
    _, masks = random_masks(1)
    _, wider = random_masks(1, width=12)
    fewer = masks.select(masks.names[1:])
    for other, about in ((wider, "11 neurons"), (fewer, masks.names[0])):
        with pytest.raises(ArtifactError, match=about):
            integrity.masks_agree(masks, other, "one", "the other")
        with pytest.raises(ArtifactError, match=about):
            integrity.no_neuron_is_added(pack(masks), pack(other), SWEEP[0], SWEEP[1])
