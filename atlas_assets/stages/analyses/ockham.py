"""Jaccard similarity within a type of concept, and the Ockham index (docs/science.md §5).

The Ockham index of two concepts of one type is 1 − Jaccard of their universal circuits: 0 when one
circuit would do for both, 1 when they share no neuron (or have none).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.stages.concepts import Kind, split_concept
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.masks.similarity import jaccard

KINDS: tuple[Kind, ...] = ("ast", "builtin")
SCHEMA = pl.Schema(
    {
        "type": pl.String(),
        "layer": pl.Int64(),
        "concept_a": pl.String(),
        "concept_b": pl.String(),
        "jaccard": pl.Float64(),
        "ockham_index": pl.Float64(),
    }
)


@dataclass(frozen=True, eq=False)
class JaccardMatrices:
    """Jaccard similarity of the concepts of one type, at every layer.

    Attributes:
        names: per type (``ast``, ``builtin``), its concepts with their prefix, sorted; maybe none.
        values: per type, float64 ``[layers, n, n]``, symmetric, in the order of ``names``; 0 where
            both circuits are empty, on the diagonal too (as in the mask files).
    """

    names: dict[Kind, tuple[str, ...]]
    values: dict[Kind, npt.NDArray[np.float64]]


def jaccard_matrices(universal: Masks) -> JaccardMatrices:
    """Jaccard matrices of both types of concept, at every layer.

    Args:
        universal: universal masks of the concepts at one setting.

    Raises:
        StimulusError: a name is not that of a concept.
    """
    names: dict[Kind, tuple[str, ...]] = {}
    values: dict[Kind, npt.NDArray[np.float64]] = {}
    kinds = [split_concept(name)[0] for name in universal.names]
    for kind in KINDS:
        rows = [row for row, found in enumerate(kinds) if found == kind]
        names[kind] = tuple(universal.names[row] for row in rows)
        layers = range(universal.n_layers)
        values[kind] = np.stack([jaccard(universal.bits[rows, layer]) for layer in layers])
    return JaccardMatrices(names, values)


def ockham_index(universal: Masks) -> pl.DataFrame:
    """The Ockham index of every two concepts of one type, at every layer.

    Args:
        universal: universal masks of the concepts at one setting.

    Returns:
        Columns ``SCHEMA``, indices in [0, 1], not rounded; ``concept_a`` < ``concept_b``. Sorted by
        type, layer, ``concept_a``, ``concept_b``; no rows for a type of fewer than two concepts.

    Raises:
        StimulusError: a name is not that of a concept.
    """
    matrices = jaccard_matrices(universal)
    tables = [_of_type(kind, matrices.names[kind], matrices.values[kind]) for kind in KINDS]
    return pl.concat(tables)


def _of_type(kind: Kind, names: tuple[str, ...], matrices: npt.NDArray[np.float64]) -> pl.DataFrame:
    first, second = np.triu_indices(len(names), k=1)
    n_layers, n_couples = len(matrices), len(first)
    similarities = matrices[:, first, second].ravel()
    columns = {
        "type": [kind] * (n_layers * n_couples),
        "layer": np.repeat(np.arange(n_layers), n_couples),
        "concept_a": [names[i] for i in first] * n_layers,
        "concept_b": [names[i] for i in second] * n_layers,
        "jaccard": similarities,
        "ockham_index": 1 - similarities,
    }
    return pl.DataFrame(columns, schema=SCHEMA)
