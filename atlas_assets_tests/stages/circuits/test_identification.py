"""Ranks by background-centred cosine against loops, ties included."""

from __future__ import annotations

import math

import numpy as np
import pytest

from atlas_assets.stages.circuits import identification
from atlas_assets.stages.circuits.definitions import calibrated
from atlas_assets_tests.stages.circuits import planted
from atlas_assets_tests.stages.random_atlas import masks, pair_names


def cosine(a: list[float], b: list[float]) -> float:
    lengths = math.sqrt(math.fsum(x * x for x in a)) * math.sqrt(math.fsum(x * x for x in b))
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths > 1e-9 else 0.0


def centred(vectors: list[list[float]]) -> list[list[float]]:
    means = [math.fsum(column) / len(vectors) for column in zip(*vectors, strict=True)]
    return [[x - mean for x, mean in zip(one, means, strict=True)] for one in vectors]


def test_ranks_equal_those_of_loops() -> None:
    rng = np.random.default_rng(0)
    names = pair_names(rng, 18)
    circuits = calibrated(masks(rng, names, width=6))
    held_out = masks(rng, names, width=6)
    found = identification.identify(circuits.bits.astype(float), circuits.names, held_out)
    pairs = centred([bits.ravel().astype(float).tolist() for bits in held_out.bits])
    for kind, part in (("ast", 0), ("builtin", 1)):
        concepts = [name for name in circuits.names if name.startswith(f"{kind}__")]
        known = centred(
            [
                circuits.bits[circuits.names.index(name)].ravel().astype(float).tolist()
                for name in concepts
            ]
        )
        for own, concept in enumerate(concepts):
            ranks, firsts = [], []
            for pair, name in zip(pairs, names, strict=True):
                if name.split("__", 1)[part] != concept.split("__", 1)[1]:
                    continue
                scores = [round(cosine(pair, other), 9) for other in known]
                ties = scores.count(scores[own])
                ahead = sum(score > scores[own] for score in scores)
                ranks.append(1 + ahead + (ties - 1) / 2)
                firsts.append(1 / ties if ahead == 0 else 0.0)
            one = found[concept]
            assert (one.n, one.pairs) == (len(concepts), len(ranks))
            assert one.rank == pytest.approx(sum(ranks) / len(ranks))
            assert one.top1 == pytest.approx(sum(firsts) / len(firsts))


def test_equal_circuits_identify_as_chance_does() -> None:
    discovered, held_out = planted.pair_masks(seed=1)
    circuits = calibrated(discovered)
    same = np.repeat(circuits.bits[:1].astype(float), len(circuits.names), axis=0)
    for one in identification.identify(same, circuits.names, held_out).values():
        assert one.top1 == pytest.approx(1 / one.n)
        assert one.rank == pytest.approx((one.n + 1) / 2)


def test_centroids_of_true_labels_identify_and_those_of_shuffled_ones_do_not() -> None:
    discovered, held_out = planted.pair_masks(seed=2)
    true, false = (
        identification.identify(*identification.centroids(each), held_out)
        for each in (discovered, planted.shuffled(discovered, seed=3))
    )
    for kind, n in (("ast", 8), ("builtin", 6)):
        assert np.mean([one.top1 for one in identification.of_kind(true, kind)]) > 0.9
        assert np.mean([one.top1 for one in identification.of_kind(false, kind)]) < 2.2 / n
