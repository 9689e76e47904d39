"""Whether masks agree with each other: within a file, across the sweep, and between files.

Each function raises ArtifactError at the first neuron that does not agree, and returns how many
things it compared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.errors import unsound
from atlas_assets.stages.blocks import slices_of
from atlas_assets.stages.concepts import pairs_of_concepts
from atlas_assets.stages.masks.masks import Masks, require_same_layers, universal_from_table
from atlas_assets.stages.masks.packed import PackedMasks, pack
from atlas_assets.stages.setting import Setting

_unsound = partial(unsound, "the artifacts of the atlas contradict each other")
Words = npt.NDArray[np.uint8]


def universal_masks_are_intersections(pairs: PackedMasks, universal: PackedMasks) -> int:
    """Check that every universal mask is what all pairs of its concept share.

    The number of couples of a concept and one of its pairs is returned.
    """
    _require_same_neurons(pairs, universal, "pair masks", "universal masks")
    members, of_pairs = pairs_of_concepts(pairs.names), pairs.in_memory()
    if tuple(members) != universal.names:
        found = f"{len(universal.names)} concepts"
        raise _unsound("universal masks", f"the {len(members)} concepts of the pairs", found)
    for (concept, rows), own in zip(members.items(), universal.in_memory(), strict=True):
        for row in rows:
            _require_none(
                own & ~of_pairs[row],
                concept,
                "a universal mask within the mask of every one of its pairs",
                f"a neuron that {pairs.names[row]} lacks",
            )
        shared = np.bitwise_and.reduce(of_pairs[rows], axis=0)
        expected = "every neuron that all its pairs share"
        _require_none(shared & ~own, concept, expected, "one left out")
    return sum(map(len, members.values()))


def looser_neighbours(setting: Setting, available: Collection[Setting]) -> list[Setting]:
    """Return the next smaller ε at the same C, and the next smaller C at the same ε, if any."""
    epsilon, consistency = setting.epsilon, setting.consistency
    below = [at for at in available if at.consistency == consistency and at.epsilon < epsilon]
    beside = [at for at in available if at.epsilon == epsilon and at.consistency < consistency]
    return [max(found) for found in (below, beside) if found]


def no_neuron_is_added(
    looser: PackedMasks, tighter: PackedMasks, looser_at: Setting, tighter_at: Setting
) -> None:
    """Check that a larger ε or C takes neurons out of masks and adds none."""
    _require_same_units(looser, tighter, f"masks at {looser_at}", f"masks at {tighter_at}")
    expected = f"no neuron at {tighter_at} that is not there at {looser_at}"
    for units in slices_of(looser.words):
        before, after = looser.words[units], tighter.words[units]
        for unit, words in zip(looser.names[units], after & ~before, strict=True):
            _require_none(words, unit, expected, "one added")


def sweep_is_complete(table: pl.DataFrame, settings: Iterable[Setting]) -> dict[Setting, Masks]:
    """Check that a table of universal masks holds every setting, with the same concepts and layers.

    The masks of each setting are returned, ε then C ascending.
    """
    wanted = sorted(settings)
    found = sorted(
        Setting(*row) for row in table.select("epsilon", "consistency").unique().iter_rows()
    )
    if found != wanted:
        raise _unsound(
            "settings", ", ".join(map(str, wanted)), ", ".join(map(str, found)) or "none"
        )
    by_setting = {setting: universal_from_table(table, setting) for setting in wanted}
    first = by_setting[wanted[0]]
    for setting, masks in by_setting.items():
        require_same_layers(first, masks, f"masks at {wanted[0]}", f"masks at {setting}")
        _require_same_names(first.names, masks.names, str(wanted[0]), str(setting))
    return by_setting


def sweep_is_monotone(by_setting: Mapping[Setting, Masks]) -> int:
    """Check `no_neuron_is_added` between all neighbours; return how many couples there are."""
    packed = {setting: pack(masks) for setting, masks in by_setting.items()}
    couples = [
        (looser, setting) for setting in packed for looser in looser_neighbours(setting, packed)
    ]
    for looser, tighter in couples:
        no_neuron_is_added(packed[looser], packed[tighter], looser, tighter)
    return len(couples)


def masks_agree(one: Masks, other: Masks, one_is: str, other_is: str) -> int:
    """Check that two ways to the same masks give the same; return how many circuits there are."""
    left, right = pack(one), pack(other)
    _require_same_units(left, right, one_is, other_is)
    expected = f"the same masks in {one_is} and {other_is}"
    for unit, words, others in zip(left.names, left.in_memory(), right.in_memory(), strict=True):
        _require_none(words ^ others, unit, expected, "a neuron of one only")
    return int(left.words.shape[0] * left.words.shape[1])


def _require_same_units(one: PackedMasks, other: PackedMasks, one_is: str, other_is: str) -> None:
    _require_same_neurons(one, other, one_is, other_is)
    _require_same_names(one.names, other.names, one_is, other_is)


def _require_same_neurons(one: PackedMasks, other: PackedMasks, one_is: str, other_is: str) -> None:
    layers, others = one.words.shape[1], other.words.shape[1]
    if (layers, one.width) != (others, other.width):
        expected = f"{layers} layers of {one.width} neurons, as the {one_is}"
        raise _unsound(other_is, expected, f"{others} layers of {other.width}")


def _require_same_names(
    names: tuple[str, ...], others: tuple[str, ...], one_is: str, other_is: str
) -> None:
    if names != others:
        unit = min(set(names) ^ set(others))
        raise _unsound(unit, f"the same units in {one_is} and {other_is}", "a unit of one only")


def _require_none(words: Words, unit: str, expected: str, found: str) -> None:
    """Refuse bits of a unit, ``[layers, ceil(width / 8)]``, if any is set, and name the first."""
    if words.any():
        layer, neuron = np.argwhere(np.unpackbits(words, axis=-1))[0]
        raise _unsound(f"{unit}, layer {layer}, neuron {neuron}", expected, found)
