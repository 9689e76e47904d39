"""The concepts whose circuits are most like a given one's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atlas_assets.stages.masks.masks import Masks


def similarities(universal: Masks, concept: str) -> npt.NDArray[np.float64]:
    """Jaccard similarity of one concept's circuit to every concept's, at every layer.

    Args:
        universal: universal masks of one setting.
        concept: one of their names.

    Returns:
        float64 ``[concepts, layers]``, |A ∩ B| / |A ∪ B|, 0 where both are empty; rows as in
        ``universal``, that of ``concept`` itself included.

    Raises:
        ArtifactError: there is no such concept.
    """
    own = universal.bits[universal.index(concept)]
    shared = np.count_nonzero(universal.bits & own, axis=2)
    union = np.count_nonzero(universal.bits | own, axis=2)
    similar = np.zeros(shared.shape)
    np.divide(shared, union, out=similar, where=union > 0)
    return similar


def nearest(universal: Masks, concept: str, layer: int | None = None) -> list[tuple[str, float]]:
    """All other concepts with their similarity, the most similar first, ties by name.

    Args:
        universal: universal masks of one setting.
        concept: one of their names.
        layer: at this layer; default: the mean over layers.

    Raises:
        ArtifactError: there is no such concept.
    """
    by_layer = similarities(universal, concept)
    scores = by_layer.mean(axis=1) if layer is None else by_layer[:, layer]
    others = [
        (name, score)
        for name, score in zip(universal.names, scores.tolist(), strict=True)
        if name != concept
    ]
    return sorted(others, key=lambda other: (-other[1], other[0]))
