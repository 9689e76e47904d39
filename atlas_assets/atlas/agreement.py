"""What several atlases agree on: ranks of numbers that each has per concept.

Circuits of two models have no neurons in common to compare. What can be compared is the order in
which a number puts the concepts: whether what is large in one atlas is large in another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.masks.similarity import jaccard
from atlas_assets.stages.rounding import Counts

#: a number per concept, or per pair of concepts
Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Agreement:
    """Spearman's ρ between every two atlases.

    Attributes:
        items: concepts (or pairs of them) that all atlases have.
        mean: mean ρ over the pairs of atlases.
        lowest: least ρ of a pair of atlases.
    """

    items: int
    mean: float
    lowest: float


def agreement(atlases: Sequence[Numbers]) -> Agreement | None:
    """How far the atlases put their common items into the same order.

    Returns:
        ``None`` where ρ is not defined: fewer than two atlases or common items, or a number that
        is the same for all items of an atlas.
    """
    common = sorted(set.intersection(*(set(numbers) for numbers in atlases))) if atlases else []
    if len(atlases) < 2 or len(common) < 2:
        return None
    values = [np.array([numbers[item] for item in common]) for numbers in atlases]
    if any(np.ptp(one) == 0 for one in values):
        return None
    from scipy.stats import spearmanr  # costs half a second, and only `atlas stability` needs it

    found = [float(spearmanr(a, b).statistic) for a, b in combinations(values, 2)]
    return Agreement(len(common), sum(found) / len(found), min(found))


def circuit_sizes(universal: Masks) -> Numbers:
    """Neurons of a concept's circuit, over all layers."""
    sizes = universal.sizes().sum(axis=1)
    return dict(zip(universal.names, map(float, sizes), strict=True))


def concept_fractions(targets: Sequence[str], counts: Counts) -> Numbers:
    """Share of a concept's circuit, over all layers, that its keyword alone does not use.

    Args:
        targets: the concepts.
        counts: int64 ``[targets, layers, 3]``, last axis (co, sh, to).

    Returns:
        Σ co / Σ (co + sh); concepts without any circuit are left out.
    """
    sums = counts.sum(axis=1)
    sizes = sums[:, 0] + sums[:, 1]
    return {
        target: float(alone / size)
        for target, alone, size in zip(targets, sums[:, 0], sizes, strict=True)
        if size
    }


def similarities(universal: Masks) -> Numbers:
    """Mean Jaccard similarity over the layers of every two circuits, by both names."""
    total = sum(jaccard(universal.bits[:, layer]) for layer in range(universal.n_layers))
    mean = np.asarray(total) / universal.n_layers
    return {
        f"{universal.names[i]} {universal.names[j]}": float(mean[i, j])
        for i, j in combinations(range(len(universal.names)), 2)
    }
