"""Activations in blocks are those in memory, and which ones are kept so is a rule of their size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.stages import blocks
from atlas_assets.stages.activations import stored
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.activations.stored import StoredActivations, are_large
from atlas_assets_tests.stages import random_atlas


def in_memory() -> Activations:
    rng = np.random.default_rng(5)
    return random_atlas.activations(rng, random_atlas.pair_names(rng, 9))


def in_blocks(found: Activations) -> StoredActivations:
    return StoredActivations(found.names, found.n_prompts, found.sums, found.counts, "a remark")


@pytest.mark.parametrize("block_bytes", [1, 200, 1 << 26])
def test_blocks_are_all_units_in_order(monkeypatch: pytest.MonkeyPatch, block_bytes: int) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block_bytes)
    found = in_memory()
    kept = in_blocks(found)
    assert kept.digest() == found.digest() == kept.whole().digest()
    assert (kept.n_layers, kept.width) == (found.n_layers, found.width)
    parts = list(kept.blocks())
    assert [name for part in parts for name in part.names] == list(found.names)
    assert np.array_equal(np.concatenate([part.sums for part in parts]), found.sums)
    assert np.array_equal(np.concatenate([part.counts for part in parts]), found.counts)
    assert {part.remark for part in parts} == {"a remark"}


def test_what_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1)
    kept = in_blocks(in_memory())
    with pytest.raises(ArtifactError, match="int32 of shape"):
        replace(kept, counts=kept.counts[0:2])
    counts = np.array(kept.counts[0:9])
    counts[7, 1, 2] = 1000
    with pytest.raises(ArtifactError, match=f"{kept.names[7]}, layer 1, neuron 2"):
        list(replace(kept, counts=counts).blocks())


@dataclass(frozen=True)
class Endless:
    """Values that no machine has the memory for."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...] = (9, 1, 1 << 44)

    def __getitem__(self, units: slice, /) -> npt.NDArray[Any]:
        raise AssertionError(f"{units} are read")


def test_what_does_not_fit_into_memory_is_not_read() -> None:
    found, kinds = in_memory(), (np.dtype(np.float32), np.dtype(np.int32))
    kept = stored.StoredActivations(found.names, found.n_prompts, *map(Endless, kinds))
    with pytest.raises(ArtifactError, match="do not fit into memory") as caught:
        kept.whole()
    assert "GB free" in str(caught.value)


def test_the_rule_is_of_readouts_or_of_units(monkeypatch: pytest.MonkeyPatch) -> None:
    found = in_memory()
    values = found.n_layers * found.width
    for per_unit, taken in ((100, 100 * 9), (2, 6 * 9)):
        of_size = replace(found, n_prompts=np.full(9, per_unit, np.int32), counts=found.counts * 0)
        for limit, large in ((4 * taken * values, False), (4 * taken * values - 1, True)):
            monkeypatch.setattr(stored, "LARGE", limit)
            assert are_large(of_size) is large
