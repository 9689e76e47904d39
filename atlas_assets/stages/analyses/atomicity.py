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

from atlas_assets.errors import ArtifactError
from atlas_assets.stages import streams
from atlas_assets.stages.analyses import leaf_order
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.masks.similarity import jaccard

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

Reals = npt.NDArray[np.float64]


class Distances(NamedTuple):
    """How far apart the non-empty circuits of a layer are.

    Attributes:
        names: their concepts, sorted.
        values: float64 ``[n, n]``, 1 − Jaccard, symmetric, 0 on the diagonal.
    """

    names: tuple[str, ...]
    values: Reals


class Linkage(NamedTuple):
    """The dendrogram of a layer's non-empty circuits.

    Attributes:
        names: their concepts, sorted.
        merges: float64 ``[n - 1, 4]``, scipy's linkage matrix: two nodes, Ward distance, leaves;
            heights never decrease, branches are in the order of the leaves. ``[0, 4]`` for fewer
            than two circuits.
        order: intp ``[n]``, positions in ``names`` from the first leaf to the last, neighbours as
            similar as the tree permits.
    """

    names: tuple[str, ...]
    merges: Reals
    order: npt.NDArray[np.intp]


def distance(universal: Masks, layer: int) -> Distances:
    """1 − Jaccard of every two non-empty circuits of a layer.

    Raises:
        ArtifactError: the masks have no such layer.
    """
    if not 0 <= layer < universal.n_layers:
        raise ArtifactError(
            "the masks lack a layer",
            where=f"layer {layer}",
            expected=f"a layer from 0 to {universal.n_layers - 1}",
            found=f"{universal.n_layers} layers",
            remedy="choose a layer that the model has",
        )
    bits = universal.bits[:, layer]
    rows = np.flatnonzero(bits.any(axis=1))
    return Distances(tuple(universal.names[row] for row in rows), 1 - jaccard(bits[rows]))


def linkage(universal: Masks, layer: int) -> Linkage:
    """Ward's dendrogram of a layer's non-empty circuits, leaves in optimal order.

    Args:
        universal: universal masks of the concepts at one setting.
        layer: which layer.

    Raises:
        ArtifactError: the masks have no such layer.
    """
    names, values = distance(universal, layer)
    if len(names) < 2:
        return Linkage(names, np.empty((0, 4)), np.arange(len(names)))
    condensed = values[np.triu_indices(len(names), k=1)]
    merges: Reals = _hierarchy().linkage(condensed, method="ward")
    order = leaf_order.optimal_order(merges, values)
    return Linkage(names, leaf_order.oriented(merges, order), order)


def clusters(universal: Masks, layer: int, k: int = CUT) -> dict[str, int]:
    """The clusters of a cut through the dendrogram.

    Args:
        universal: universal masks of the concepts at one setting.
        layer: which layer.
        k: number of clusters wanted, ≥ 1.

    Returns:
        Concept → cluster for the non-empty circuits, by name; clusters are numbered from 1 in the
        order of the leaves. There are fewer than ``k`` when there are fewer circuits, each then
        being its own cluster, or when equally high merges permit no cut into exactly ``k``.

    Raises:
        ArtifactError: the masks have no such layer.
        SettingsError: ``k`` is less than 1.
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


def forms_one_cluster(universal: Masks, layer: int, k: int = CUT) -> bool:
    """Whether the six atomic concepts fall in one cluster of a cut; it may hold others too.

    False when one of the six has an empty circuit, which is in no cluster.

    Raises:
        ArtifactError: the masks have no such layer, or lack one of the six concepts.
        SettingsError: ``k`` is less than 1.
    """
    for name in ATOMIC_CONCEPTS:
        universal.index(name)
    groups = clusters(universal, layer, k)
    found = {groups.get(name) for name in ATOMIC_CONCEPTS}
    return len(found) == 1 and None not in found


def _hierarchy() -> Any:
    # scipy's clustering takes as long to import as the rest of the definitions together
    from scipy.cluster import hierarchy

    return hierarchy
