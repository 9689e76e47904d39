"""Atomicity: which circuits lie together at a layer (paper §6.1 and Figure 1, docs/science.md §5).

Ward linkage on 1 − Jaccard of one layer's universal circuits, of both types, the empty ones left
out. The paper's claim is that six concepts that take no builtin fall in one cluster of a cut into
four. (Its text names layer 5; the release shows the cluster at layer 3, docs/science.md §8.)
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from atlas_assets.stages import streams
from atlas_assets.stages.analyses import leaf_order
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.masks.similarity import jaccard
from atlas_assets.stages.rounding import Reals

#: the six AST nodes that take no builtin
ATOMIC_CONCEPTS = (
    "ast__Assert",
    "ast__Break",
    "ast__Continue",
    "ast__Import",
    "ast__ImportFrom",
    "ast__Pass",
)
#: clusters of the paper's cut
CUT = 4


class Linkage(NamedTuple):
    """The dendrogram of a layer's non-empty circuits.

    Attributes:
        names: The circuits' concepts, sorted.
        merges: SciPy's linkage matrix, float64 ``[n - 1, 4]``: two nodes, Ward distance, leaves;
            heights never decrease, branches are in the order of the leaves. ``[0, 4]`` for fewer
            than two circuits.
        order: The positions in ``names`` from the first leaf to the last, intp ``[n]``; neighbours
            are as similar as the tree permits.
    """

    names: tuple[str, ...]
    merges: Reals
    order: npt.NDArray[np.intp]


def distance(universal: Masks, layer: int) -> tuple[tuple[str, ...], Reals]:
    """Return how far apart the non-empty circuits of a layer are: 1 − Jaccard.

    These are their n concepts, sorted, and float64 ``[n, n]``, symmetric, 0 on the diagonal. A
    layer that the masks lack is an ArtifactError.
    """
    bits = universal.of_layer(layer).bits[:, 0]
    rows = np.flatnonzero(bits.any(axis=1))
    return (tuple(universal.names[row] for row in rows), 1 - jaccard(bits[rows]))


def linkage(universal: Masks, layer: int) -> Linkage:
    """Return Ward's dendrogram of a layer's non-empty circuits, leaves in optimal order."""
    names, values = distance(universal, layer)
    if len(names) < 2:
        return Linkage(names, np.empty((0, 4)), np.arange(len(names)))
    condensed = values[np.triu_indices(len(names), k=1)]
    merges: Reals = _hierarchy().linkage(condensed, method="ward")
    order = leaf_order.optimal_order(merges, values)
    return Linkage(names, leaf_order.oriented(merges, order), order)


def clusters(universal: Masks, layer: int, k: int = CUT) -> dict[str, int]:
    """Return the clusters of a cut through the dendrogram into ``k`` ≥ 1, else a SettingsError.

    Returns:
        Concept → cluster for the non-empty circuits, by name; clusters are numbered from 1 in the
        order of the leaves. There are fewer than ``k`` when there are fewer circuits, each then
        being its own cluster, or when equally high merges permit no cut into exactly ``k``.
    """
    streams.require_between(k, 1, sys.maxsize, "number of clusters")
    names, merges, order = linkage(universal, layer)
    if len(names) <= k:
        labels = np.arange(len(names))
    else:
        labels = _hierarchy().fcluster(merges, k, criterion="maxclust")
    in_order = dict.fromkeys(labels[order].tolist())
    number = {label: i for i, label in enumerate(in_order, start=1)}
    return {name: number[label] for name, label in zip(names, labels.tolist(), strict=True)}


def _hierarchy() -> Any:
    # scipy's clustering takes as long to import as the rest of the definitions together
    from scipy.cluster import hierarchy

    return hierarchy
