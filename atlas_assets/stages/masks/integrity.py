"""Whether masks agree with each other: within a file, across the sweep, and between files.

Each function raises ArtifactError at the first neuron that does not agree, and returns how many
things it compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.concepts import concept_name, split_pair
from atlas_assets.stages.masks.masks import Masks, require_same_layers, universal_from_table
from atlas_assets.stages.setting import Setting

Words = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class PackedMasks:
    """Masks at an eighth of their size, to be kept and compared.

    Attributes:
        names: of the units, sorted.
        width: neurons per layer.
        words: uint8 ``[units, layers, ceil(width / 8)]``, eight neurons each, as `numpy.packbits`.
    """

    names: tuple[str, ...]
    width: int
    words: Words


def pack(masks: Masks) -> PackedMasks:
    """The same masks, packed."""
    return PackedMasks(masks.names, masks.width, np.packbits(masks.bits, axis=-1))


def universal_masks_are_intersections(pairs: PackedMasks, universal: PackedMasks) -> int:
    """Every universal mask lies within all its pairs' masks, and leaves out nothing they share.

    Args:
        pairs: masks of the pairs, ``{ast}__{builtin}``.
        universal: masks of their concepts.

    Returns:
        The number of (concept, pair) inclusions.
    """
    _require_comparable(pairs, universal, "pair masks", "universal masks")
    members: dict[str, list[int]] = {}
    for row, name in enumerate(pairs.names):
        ast_node, builtin = split_pair(name)
        members.setdefault(concept_name("ast", ast_node), []).append(row)
        members.setdefault(concept_name("builtin", builtin), []).append(row)
    if tuple(sorted(members)) != universal.names:
        found = f"{len(universal.names)} concepts"
        _unsound("universal masks", f"the {len(members)} concepts of the pairs", found)
    for concept, own in zip(universal.names, universal.words, strict=True):
        rows = members[concept]
        shared = np.bitwise_and.reduce(pairs.words[rows], axis=0)
        if not np.array_equal(shared, own):
            _report_intersection(concept, own, shared, rows, pairs)
    return sum(map(len, members.values()))


def _report_intersection(
    concept: str, own: Words, shared: Words, rows: list[int], pairs: PackedMasks
) -> NoReturn:
    for row in rows:
        where = _first_neuron(own & ~pairs.words[row])
        if where is not None:
            _unsound(
                f"{concept}, {where}",
                "a universal mask within the mask of every one of its pairs",
                f"a neuron that {pairs.names[row]} lacks",
            )
    where = _first_neuron(shared & ~own)
    _unsound(f"{concept}, {where}", "every neuron that all its pairs share", "one left out")


def looser_neighbours(setting: Setting, available: Iterable[Setting]) -> list[Setting]:
    """The next smaller ε at the same C, and the next smaller C at the same ε, where there are."""
    others = list(available)
    by_epsilon = [
        other
        for other in others
        if other.consistency == setting.consistency and other.epsilon < setting.epsilon
    ]
    by_consistency = [
        other
        for other in others
        if other.epsilon == setting.epsilon and other.consistency < setting.consistency
    ]
    return [max(found) for found in (by_epsilon, by_consistency) if found]


def no_neuron_is_added(
    looser: PackedMasks, tighter: PackedMasks, looser_at: Setting, tighter_at: Setting
) -> None:
    """A larger ε or C takes neurons out of masks and adds none."""
    _require_comparable(looser, tighter, f"masks at {looser_at}", f"masks at {tighter_at}")
    if looser.names != tighter.names:
        unit = min(set(looser.names) ^ set(tighter.names))
        _unsound(unit, f"the same units at {looser_at} and at {tighter_at}", "a unit of one only")
    added = tighter.words & ~looser.words
    if added.any():
        row = int(np.flatnonzero(added.any(axis=(1, 2)))[0])
        where = f"{tighter.names[row]}, {_first_neuron(added[row])}"
        _unsound(where, f"no neuron at {tighter_at} that is not there at {looser_at}", "one added")


def sweep_is_complete(table: pl.DataFrame, settings: Iterable[Setting]) -> dict[Setting, Masks]:
    """The table of universal masks holds every setting, with the same concepts and layers.

    Args:
        table: columns of `science.masks.UNIVERSAL_SCHEMA`.
        settings: of the sweep.

    Returns:
        The masks of each setting, ε then C ascending.
    """
    wanted = sorted(settings)
    found = sorted(
        Setting(*row) for row in table.select("epsilon", "consistency").unique().iter_rows()
    )
    if found != wanted:
        _unsound("settings", ", ".join(map(str, wanted)), ", ".join(map(str, found)) or "none")
    by_setting = {setting: universal_from_table(table, setting) for setting in wanted}
    first = by_setting[wanted[0]]
    for setting, masks in by_setting.items():
        require_same_layers(first, masks, f"masks at {wanted[0]}", f"masks at {setting}")
        if masks.names != first.names:
            concept = min(set(masks.names) ^ set(first.names))
            _unsound(concept, f"the same concepts at {wanted[0]} and {setting}", "one of them only")
    return by_setting


def sweep_is_monotone(by_setting: Mapping[Setting, Masks]) -> int:
    """`no_neuron_is_added` between all neighbours; returns how many couples there are."""
    packed = {setting: pack(masks) for setting, masks in by_setting.items()}
    couples = [
        (looser, setting) for setting in packed for looser in looser_neighbours(setting, packed)
    ]
    for looser, tighter in couples:
        no_neuron_is_added(packed[looser], packed[tighter], looser, tighter)
    return len(couples)


def masks_agree(one: Masks, other: Masks, one_is: str, other_is: str) -> int:
    """Two ways to the same masks give the same; returns how many circuits there are."""
    left, right = pack(one), pack(other)
    _require_comparable(left, right, one_is, other_is)
    if left.names != right.names:
        unit = min(set(left.names) ^ set(right.names))
        _unsound(unit, f"the same units in {one_is} and {other_is}", "a unit of one only")
    differing = left.words ^ right.words
    if differing.any():
        row = int(np.flatnonzero(differing.any(axis=(1, 2)))[0])
        where = f"{left.names[row]}, {_first_neuron(differing[row])}"
        _unsound(where, f"the same masks in {one_is} and {other_is}", "a neuron of one only")
    return int(left.words.shape[0] * left.words.shape[1])


def _require_comparable(one: PackedMasks, other: PackedMasks, one_is: str, other_is: str) -> None:
    if one.words.shape[1] != other.words.shape[1] or one.width != other.width:
        _unsound(
            other_is,
            f"{one.words.shape[1]} layers of {one.width} neurons, as the {one_is}",
            f"{other.words.shape[1]} layers of {other.width}",
        )


def _first_neuron(words: Words) -> str | None:
    """``layer L, neuron N`` of the first bit that is set in ``[layers, ceil(width / 8)]``."""
    found = np.argwhere(np.unpackbits(words, axis=-1))
    return f"layer {found[0][0]}, neuron {found[0][1]}" if len(found) else None


def _unsound(where: str, expected: str, found: str) -> NoReturn:
    raise ArtifactError(
        "the artifacts of the atlas contradict each other",
        where=where,
        expected=expected,
        found=found,
        remedy="materialise the artifact again, or fetch the file again if it was downloaded",
    )
