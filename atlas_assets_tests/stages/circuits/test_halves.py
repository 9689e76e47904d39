"""Circuits of two halves against sets counted prompt by prompt; shuffled pairs agree less."""

from __future__ import annotations

import numpy as np
import pytest

from atlas_assets.stages.activations.positions import LEVELS, PositionActivations
from atlas_assets.stages.circuits import halves
from atlas_assets.stages.circuits.definitions import KAPPAS, SHARES
from atlas_assets_tests.stages.circuits import planted


def activations(seed: int, *, shuffled: bool = False) -> PositionActivations:
    """Of the planted masks: a neuron of a mask fires on 8 of 10 prompts, another on 1."""
    masks = planted.pair_masks(seed)
    if shuffled:
        masks = (masks[0], planted.shuffled(masks[1], seed))
    names = masks[0].names
    n_prompts = np.full((2, len(names)), 10, np.int32)
    n_prompts[1, 0] = 0
    counts = np.stack([np.where(half.bits, 8, 1) for half in masks]).astype(np.int32)
    counts[1, 0] = 0
    every = np.repeat(counts[np.newaxis], len(LEVELS), axis=0)
    every[-1] //= 2
    return PositionActivations(
        "concept", names, n_prompts, every[0].astype(np.float32), every, np.ones(1), 7
    )


def test_equals_sets_of_neurons() -> None:
    read = activations(0)
    table = halves.split_half(read)
    halves.SCHEMA.check(table, where="split_half")
    assert table.height == len(KAPPAS) * len(SHARES) * 14
    for row in table.rows(named=True):
        part = 0 if row["type"] == "ast" else 1
        found = []
        for half in range(2):
            masks = [
                {n for n in range(planted.WIDTH) if counts[0, n] >= 5}
                for name, counts, n_prompts in zip(
                    read.names,
                    read.counts[LEVELS.index(row["kappa"]), half],
                    read.n_prompts[half],
                    strict=True,
                )
                if n_prompts and name.split("__")[part] == row["concept"].split("__")[1]
            ]
            least = row["share"] * len(masks) - 1e-6
            circuit = {n for n in range(planted.WIDTH) if sum(n in m for m in masks) >= least}
            found.append(circuit)
        one, other = found
        assert (row["size_discovery"], row["size_test"]) == (len(one), len(other))
        union = one | other
        assert row["jaccard"] == pytest.approx(len(one & other) / len(union) if union else 0.0)


def test_halves_of_shuffled_pairs_agree_less() -> None:
    true, false = (
        halves.split_half(activations(1, shuffled=shuffled)).filter(kappa=0.3, share=0.8)
        for shuffled in (False, True)
    )
    assert true["jaccard"].mean() > 0.95
    assert false["jaccard"].mean() < 0.8
    assert true["identification_top1"].mean() > 0.9
    assert false["identification_top1"].mean() < 0.4
