"""How alike masks are: Jaccard similarity, |A ∩ B| / |A ∪ B| (docs/science.md §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from atlas_assets.errors import ArtifactError

if TYPE_CHECKING:
    from atlas_assets.stages.masks.masks import Masks


def jaccard(bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return the Jaccard similarity of every two of one layer's masks, bool ``[units, width]``.

    It is float64 ``[units, units]``, symmetric, in [0, 1]; 0 where both masks are empty, on the
    diagonal too. Each value is the correctly rounded quotient of two counts. Another dtype or
    number of axes of ``bits`` is an ArtifactError.
    """
    if bits.dtype != np.bool_ or bits.ndim != 2:
        raise ArtifactError(
            "cannot compare masks",
            where="bits",
            expected="bool, two axes (units, width)",
            found=f"{bits.dtype}, shape {bits.shape}",
            remedy="pass one layer of a masks object: masks.bits[:, layer]",
        )
    shared = _intersections(bits)
    sizes = shared.diagonal()
    union = sizes[:, np.newaxis] + sizes[np.newaxis, :] - shared
    similarities = np.zeros(shared.shape)
    np.divide(shared, union, out=similarities, where=union > 0)
    return similarities


def _intersections(bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The size of the intersection of every two masks, int64 ``[units, units]``."""
    # counting bits in packed words rather than a float matrix product: for a hundred masks a
    # threaded BLAS spends a hundred times longer waiting for its threads when cores are shared
    words = packed(bits)
    shared = np.empty((len(bits), len(bits)), dtype=np.int64)
    for row, mask in zip(shared, words, strict=True):
        np.bitwise_count(words & mask).sum(axis=1, dtype=np.int64, out=row)
    return shared


def packed(bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """Return masks, bool ``[…, width]``, as uint64 ``[…, words]``, padded with zeros."""
    octets = np.packbits(bits, axis=-1)
    padding = [(0, 0)] * (bits.ndim - 1) + [(0, -octets.shape[-1] % 8)]
    return np.ascontiguousarray(np.pad(octets, padding)).view(np.uint64)


def nearest(universal: Masks, concept: str, layer: int | None = None) -> list[tuple[str, float]]:
    """Return all other concepts with their similarity, the most similar first, ties by name.

    It is the similarity at ``layer``, or else the mean over layers. An unknown ``concept`` is an
    ArtifactError.
    """
    own = universal.index(concept)
    layers = range(universal.n_layers) if layer is None else (layer,)
    by_layer = np.stack([jaccard(universal.bits[:, at])[own] for at in layers], axis=1)
    scores = zip(universal.names, by_layer.mean(axis=1).tolist(), strict=True)
    others = [(name, score) for name, score in scores if name != concept]
    return sorted(others, key=lambda other: (-other[1], other[0]))
