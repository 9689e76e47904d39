"""Sizes against circuits of random pairs, drawn and intersected one by one."""

from __future__ import annotations

import numpy as np
import pytest

from atlas_assets.stages import streams
from atlas_assets.stages.circuits import label_null
from atlas_assets_tests.stages.circuits import planted


@pytest.mark.parametrize("share", [0.8, 1.0])
def test_equals_intersections_of_random_pairs(share: float) -> None:
    pairs, _ = planted.pair_masks(seed=0)
    table = label_null.label_null("calibrated", pairs, share, draws=40)
    label_null.SCHEMA.check(table, where="the table")
    for concept, n, size, null_mean, p_value in table.select(
        "concept", "n_pairs", "size", "null_mean", "p_value"
    ).rows():
        part = 0 if concept.startswith("ast__") else 1
        own = [
            set(np.flatnonzero(bits).tolist())
            for name, bits in zip(pairs.names, pairs.bits, strict=True)
            if name.split("__")[part] == concept.split("__")[1]
        ]
        stream = streams.of_concept(42, f"{n} pairs")
        sizes = []
        for _ in range(40):
            drawn = stream.choice(len(pairs.names), size=n, replace=False)
            sizes.append(held([set(np.flatnonzero(pairs.bits[row])) for row in drawn], share))
        assert (n, size) == (len(own), held(own, share))
        assert null_mean == pytest.approx(sum(sizes) / 40)
        assert p_value == pytest.approx((1 + sum(null >= size for null in sizes)) / 41)


def held(masks: list[set[int]], share: float) -> int:
    return sum(
        sum(neuron in mask for mask in masks) >= share * len(masks) - 1e-6
        for neuron in range(planted.WIDTH)
    )


def test_planted_circuits_are_larger_than_chance_and_shuffled_ones_are_not() -> None:
    pairs, _ = planted.pair_masks(seed=4)
    true, false = (
        label_null.label_null("calibrated", each, 0.8)
        for each in (pairs, planted.shuffled(pairs, seed=5))
    )
    assert (true["q_value"] < 0.05).all()
    assert (false["q_value"] < 0.05).mean() < 0.1
