"""Masks at an eighth of their size: of so many pairs, or kept to be compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from atlas_assets.errors import unsound
from atlas_assets.stages.activations.activations import Activations, payload_digest
from atlas_assets.stages.activations.stored import AnyActivations, StoredActivations
from atlas_assets.stages.blocks import Rows, slices_of
from atlas_assets.stages.concepts import concepts_of_pair, pairs_of_concepts
from atlas_assets.stages.masks.masks import (
    Masks,
    ObjectMasks,
    sweep_masks,
    threshold,
    with_universals,
)
from atlas_assets.stages.setting import Setting

_unsound = partial(unsound, "the masks are not sound")


@dataclass(frozen=True, eq=False)
class PackedMasks:
    """Which neurons belong to each unit, per layer, eight of them in a byte.

    Attributes:
        names: The unit names, sorted, each once.
        width: The number of neurons per layer.
        words: uint8 ``[units, layers, ceil(width / 8)]``, as `numpy.packbits` gives them; in memory
            or not.

    Raises:
        ArtifactError: Names are not sorted and unique, or the words have another type or shape.
    """

    names: tuple[str, ...]
    width: int
    words: Rows

    def __post_init__(self) -> None:
        if list(self.names) != sorted(set(self.names)):
            found = f"{len(self.names)} names, {len(set(self.names))} distinct"
            raise _unsound("unit names", "sorted, each once", found)
        shape, expected = self.words.shape, (len(self.names), -(-self.width // 8))
        if self.words.dtype != np.uint8 or len(shape) != 3 or shape[::2] != expected:
            wanted = f"uint8 of shape ({expected[0]}, layers, {expected[1]})"
            raise _unsound("words", wanted, f"{self.words.dtype} of shape {shape}")

    @property
    def n_layers(self) -> int:
        """The number of layers."""
        return int(self.words.shape[1])

    def in_memory(self) -> npt.NDArray[np.uint8]:
        """Return the words of all units."""
        return self.words[0 : len(self.names)]

    def loaded(self) -> PackedMasks:
        """Return the same masks in memory."""
        return replace(self, words=self.in_memory())

    def whole(self) -> Masks:
        """Return the masks with a byte for each neuron, whatever they take of the memory."""
        return Masks(self.names, self._bits[0 : len(self.names)])

    def of_layer(self, layer: int) -> PackedMasks:
        """Return the masks of one layer."""
        return replace(self, words=self.in_memory()[:, layer : layer + 1])

    def sizes(self) -> npt.NDArray[np.int64]:
        """Return the number of neurons in each mask, int64 ``[units, layers]``."""
        sizes = np.zeros((len(self.names), self.n_layers), dtype=np.int64)
        for units in slices_of(self._bits):
            sizes[units] = np.count_nonzero(self._bits[units], axis=2)
        return sizes

    def universal(self) -> Masks:
        """Return the universal masks of the concepts of pairs, as `masks.universal` does."""
        concepts = tuple(pairs_of_concepts(self.names))
        place = {concept: row for row, concept in enumerate(concepts)}
        shared = np.full((len(concepts), *self.words.shape[1:]), 0xFF, dtype=np.uint8)
        for units in slices_of(self.words):
            for name, words in zip(self.names[units], self.words[units], strict=True):
                for concept in concepts_of_pair(name):
                    shared[place[concept]] &= words
        return PackedMasks(concepts, self.width, shared).whole()

    def digest(self) -> str:
        """Return the digest that `Masks` of the same content has."""
        return payload_digest(self.names, {"bits": self._bits})

    @property
    def _bits(self) -> _Bits:
        return _Bits(self.words, self.width)


@dataclass(frozen=True)
class _Bits:
    """The bits of words, unpacked where they are looked at."""

    words: Rows
    width: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.words.shape[:2], self.width)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.bool_)

    def __getitem__(self, units: slice, /) -> npt.NDArray[np.bool_]:
        words = self.words[units]
        if self.width % 8 and (words[..., -1] & (0xFF >> self.width % 8)).any():
            found = "bits beyond the last neuron"
            raise _unsound("words", f"bits of {self.width} neurons, and zeros", found)
        return np.unpackbits(words, axis=-1, count=self.width).view(np.bool_)


def pack(masks: Masks) -> PackedMasks:
    """Return the same masks, packed."""
    return PackedMasks(masks.names, masks.width, np.packbits(masks.bits, axis=-1))


def packed_masks(activations: StoredActivations, setting: Setting) -> PackedMasks:
    """Make the masks of every unit at one setting, as `masks.threshold` does, block by block."""
    n_layers, width = activations.n_layers, activations.width
    words = np.empty((len(activations.names), n_layers, -(-width // 8)), dtype=np.uint8)
    start = 0
    for block in activations.blocks():
        stop = start + len(block.names)
        words[start:stop] = np.packbits(threshold(block, setting).bits, axis=-1)
        start = stop
    return PackedMasks(activations.names, width, words)


def masks_at(
    activations: AnyActivations, settings: Iterable[Setting]
) -> Iterator[tuple[Setting, Masks | PackedMasks]]:
    """Make the masks of every unit at each setting, packed where activations come in blocks."""
    if isinstance(activations, Activations):
        yield from sweep_masks(activations, settings)
        return
    for setting in settings:
        yield setting, packed_masks(activations, setting)


def object_masks_of(activations: AnyActivations, setting: Setting) -> ObjectMasks:
    """Make the masks of stage 13 for the object prompts at one setting; units are pairs."""
    _, pairs = next(iter(masks_at(activations, [setting])))
    return with_universals(setting, pairs)
