"""Agreement of circuits of two halves against sets; the circuits themselves: test_atlas_job."""

from __future__ import annotations

import numpy as np
import pytest

from atlas_assets.stages.circuits import half_circuits
from atlas_assets.stages.masks.masks import Masks
from atlas_assets_tests.stages.circuits import planted
from atlas_assets_tests.stages.random_atlas import concept_names, masks

CONCEPTS = concept_names(7)


def test_agreement_is_that_of_the_sets_of_neurons() -> None:
    rng = np.random.default_rng(0)
    drawn = {
        half: {name: masks(rng, CONCEPTS) for name in ("published", "contrastive")}
        for half in half_circuits.HALVES
    }
    table = half_circuits.to_table(drawn)
    half_circuits.SCHEMA.check(table, where="half_circuits")
    found = half_circuits.agreements(table, drawn["test"]["published"])
    assert set(found) == {"published", "contrastive"}
    for definition, by_concept in found.items():
        for row, concept in enumerate(CONCEPTS):
            one, other = (
                {tuple(place) for place in np.argwhere(drawn[half][definition].bits[row])}
                for half in half_circuits.HALVES
            )
            union = one | other
            wanted = len(one & other) / len(union) if union else 0.0
            assert by_concept[concept] == pytest.approx(wanted)


def test_halves_of_planted_circuits_agree_and_those_of_shuffled_labels_do_not() -> None:
    pairs = planted.pair_masks(seed=1)
    names = tuple(f"ast__{node}" for node in planted.NODES)
    of_nodes = [
        Masks(names, np.stack([each.bits[row : row + 6].all(axis=0) for row in range(0, 48, 6)]))
        for each in (*pairs, planted.shuffled(pairs[1], seed=2))
    ]
    true, false = (
        half_circuits.agreements(
            half_circuits.to_table(
                {"discovery": {"published": of_nodes[0]}, "test": {"published": other}}
            ),
            of_nodes[0],
        )["published"]
        for other in of_nodes[1:]
    )
    assert np.mean(list(true.values())) > 0.8
    assert np.mean(list(false.values())) < 0.6
