"""What several atlases agree on: the published claims, and the order of numbers per concept.

Circuits of two models have no neurons in common to compare. What can be compared is the order in
which a number puts the concepts: whether what is large in one atlas is large in another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from atlas_assets.soundness.evaluate import evaluate_claims
from atlas_assets.stages.decomposition.decomposition import parse_target_checker
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.masks.similarity import jaccard
from atlas_assets.stages.report.claims import ClaimResult
from atlas_assets.stages.rounding import Counts
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.folder import settings_present
from atlas_assets.storage.store import AtlasStore

#: a number per concept, or per pair of concepts
Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Agreement:
    """Spearman's ρ between every two atlases.

    Attributes:
        items: the number of concepts (or pairs of them) that all atlases have.
        mean: the mean ρ over the pairs of atlases.
        lowest: the least ρ of a pair of atlases.
    """

    items: int
    mean: float
    lowest: float


@dataclass(frozen=True)
class Stability:
    """What several atlases show of the same things.

    Attributes:
        claims: each published claim, evaluated on every atlas, in their order.
        ranks: quantity (a key of `QUANTITIES`), common setting and agreement; ``None`` where ranks
            cannot be compared.
        not_ranked: the quantities whose files the atlases have at no common setting.
    """

    claims: list[tuple[ClaimResult, ...]]
    ranks: list[tuple[str, Setting, Agreement | None]]
    not_ranked: list[str]


def stability(stores: Sequence[AtlasStore]) -> Stability:
    """Compare two or more atlases, of different models or of one under different settings.

    Raises ArtifactError where a file of an atlas is damaged.
    """
    results = [evaluate_claims(store) for store in stores]
    claims = list(zip(*results, strict=True))
    ranks = [
        (name, setting, agreement([numbers(store, setting) for store in stores]))
        for name, (key, numbers) in QUANTITIES.items()
        for setting in _common(stores, key)
    ]
    ranked = {name for name, *_ in ranks}
    return Stability(claims, ranks, [name for name in QUANTITIES if name not in ranked])


def agreement(atlases: Sequence[Numbers]) -> Agreement | None:
    """How far the atlases put their common items into the same order.

    The agreement is ``None`` where ρ is not defined: fewer than two atlases or common items, or a
    number that is the same for all items of an atlas.
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
    """The number of neurons of each concept's circuit, over all layers."""
    sizes = universal.sizes().sum(axis=1)
    return dict(zip(universal.names, map(float, sizes), strict=True))


def similarities(universal: Masks) -> Numbers:
    """The mean Jaccard similarity over the layers of every two circuits, by both names."""
    total = sum(jaccard(universal.bits[:, layer]) for layer in range(universal.n_layers))
    mean = np.asarray(total) / universal.n_layers
    return {
        f"{universal.names[i]} {universal.names[j]}": float(mean[i, j])
        for i, j in combinations(range(len(universal.names)), 2)
    }


def concept_fractions(targets: Sequence[str], counts: Counts) -> Numbers:
    """The share of each concept's circuit, over all layers, that its keyword does not use.

    Of int64 counts ``[targets, layers, 3]``, last axis (co, sh, to), it is Σ co / Σ (co + sh);
    concepts without any circuit are left out.
    """
    alone, shared, _ = counts.sum(axis=1).T
    sizes = alone + shared
    return {t: float(co / size) for t, co, size in zip(targets, alone, sizes, strict=True) if size}


def _common(stores: Sequence[AtlasStore], key: str) -> list[Setting]:
    return sorted(set.intersection(*(set(settings_present(store.root, key)) for store in stores)))


def _of_universal(
    numbers: Callable[[Masks], Numbers],
) -> tuple[str, Callable[[AtlasStore, Setting], Numbers]]:
    def read(store: AtlasStore, setting: Setting) -> Numbers:
        return numbers(store.read("object_masks", setting, part="universal").universal)

    return "object_masks", read


def _fractions(store: AtlasStore, setting: Setting) -> Numbers:
    table = store.read("target_checker", setting)
    return concept_fractions(table["target"].to_list(), parse_target_checker(table))


#: what is ranked → the artifact that it is read from, and how
QUANTITIES: dict[str, tuple[str, Callable[[AtlasStore, Setting], Numbers]]] = {
    "circuit size": _of_universal(circuit_sizes),
    "Jaccard of two circuits": _of_universal(similarities),
    "concept fraction": ("target_checker", _fractions),
}
