"""Masks made in blocks are those made at once, and take no more memory the more pairs there are."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.stages import blocks
from atlas_assets.stages.activations.stored import StoredActivations
from atlas_assets.stages.masks.masks import object_masks
from atlas_assets.stages.masks.packed import PackedMasks, object_masks_of, pack, packed_masks
from atlas_assets_tests.stages import random_atlas
from atlas_assets_tests.stages.random_atlas import SWEEP


@pytest.mark.parametrize("block_bytes", [1, 300, 1 << 26])
@pytest.mark.parametrize("n_pairs", [1, 7, 30])
def test_masks_in_blocks(monkeypatch: pytest.MonkeyPatch, block_bytes: int, n_pairs: int) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(n_pairs)
    found = random_atlas.activations(rng, random_atlas.pair_names(rng, n_pairs), width=11)
    kept = StoredActivations(found.names, found.n_prompts, found.sums, found.counts)
    for setting in SWEEP[::3]:
        expected, made = object_masks(found, setting), object_masks_of(kept, setting)
        pairs = made.any_pairs()
        assert isinstance(pairs, PackedMasks)
        assert np.array_equal(made.whole_pairs().bits, expected.whole_pairs().bits)
        assert np.array_equal(made.universal.bits, expected.universal.bits)
        assert np.array_equal(pairs.sizes(), expected.whole_pairs().sizes())
        assert np.array_equal(pairs.loaded().words[0:n_pairs], pack(made.whole_pairs()).words)
        assert pairs.of_layer(1).digest() == expected.whole_pairs().of_layer(1).digest()
        assert made.digest() == expected.digest()
    at_once = object_masks_of(found, SWEEP[0])
    assert not isinstance(at_once.pairs, PackedMasks)
    assert at_once.digest() == object_masks(found, SWEEP[0]).digest()


def test_words_that_are_not_masks_of_the_units() -> None:
    words = np.zeros((2, 3, 2), np.uint8)
    assert PackedMasks(("a", "b"), 11, words).whole().bits.shape == (2, 3, 11)
    for names, width, of in (
        (("b", "a"), 11, words),
        (("a", "b"), 17, words),
        (("a",), 11, words),
        (("a", "b"), 11, words.view(np.int8)),
    ):
        with pytest.raises(ArtifactError, match="masks are not sound"):
            PackedMasks(names, width, of)


@dataclass(frozen=True)
class Ones:
    """Values that are made where they are looked at."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, units: slice, /) -> npt.NDArray[Any]:
        return np.ones((units.stop - units.start, *self.shape[1:]), self.dtype)


def test_memory_is_that_of_a_block_and_of_the_packed_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1 << 17)
    peaks = []
    for units in (250, 1000):
        shape = (units, 4, 256)
        kept = StoredActivations(
            tuple(f"A{unit:04d}__b" for unit in range(units)),
            np.ones(units, np.int32),
            Ones(shape, np.dtype(np.float32)),
            Ones(shape, np.dtype(np.int32)),
        )
        tracemalloc.start()
        masks = packed_masks(kept, SWEEP[0])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        peaks.append(peak - masks.in_memory().nbytes)
        assert masks.in_memory().all()
    assert max(peaks) < 1 << 20  # a whole of sums alone: 1 and 4 MiB
    assert peaks[1] < 1.5 * peaks[0]
