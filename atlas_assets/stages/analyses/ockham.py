"""Jaccard similarity within a type of concept, and the Ockham index (docs/science.md §5).

The Ockham index of two concepts of one type is 1 − Jaccard of their universal circuits: 0 when one
circuit would do for both, 1 when they share no neuron (or have none).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.stages import columns as col
from atlas_assets.stages.artifact import Artifact, Entry, Layout
from atlas_assets.stages.concepts import Kind, kinds_of
from atlas_assets.stages.masks.masks import Masks, published_layer
from atlas_assets.stages.masks.similarity import jaccard
from atlas_assets.stages.report.table import TOP, TYPE_NAMES, Cell, Table, table, table_by_layer
from atlas_assets.stages.schema import Rule, TableSchema
from atlas_assets.stages.setting import STANDALONE

SCHEMA = TableSchema(
    columns=(
        col.KIND,
        col.LAYER,
        col.concept("concept_a", "concept; its universal mask is A"),
        col.concept(
            "concept_b", "another of the same type, later by name; its universal mask is B"
        ),
        col.share("jaccard", "|A∩B| / |A∪B|, 0 where both are empty"),
        col.share("ockham_index", "1 − jaccard"),
    ),
    key=("layer", "concept_a", "concept_b"),
    rules=(
        Rule(
            "ockham_index = 1 - jaccard, concept_a < concept_b",
            ("jaccard", "ockham_index", "concept_a", "concept_b"),
            (pl.col("ockham_index") == 1 - pl.col("jaccard"))
            & (pl.col("concept_a") < pl.col("concept_b")),
        ),
    ),
)


@dataclass(frozen=True, eq=False)
class JaccardMatrices:
    """Jaccard similarity of the concepts of one type, at every layer.

    Attributes:
        names: The concepts of each type (``ast`` and ``builtin``, or ``own``), with their prefix,
            sorted.
        values: The similarities within each type, float64 ``[layers, n, n]``, symmetric, in the
            order of ``names``; 0 where both circuits are empty, on the diagonal too.
    """

    names: dict[Kind, tuple[str, ...]]
    values: dict[Kind, npt.NDArray[np.float64]]

    @property
    def n_layers(self) -> int:
        """The number of layers."""
        return len(next(iter(self.values.values())))


def jaccard_matrices(universal: Masks) -> JaccardMatrices:
    """Return the Jaccard matrices of each type of concept at every layer, at one setting."""
    by_kind = {kind: universal.of_kind(kind) for kind in kinds_of(universal.names)}
    layers = range(universal.n_layers)
    return JaccardMatrices(
        {kind: masks.names for kind, masks in by_kind.items()},
        {
            kind: np.stack([jaccard(masks.bits[:, layer]) for layer in layers])
            for kind, masks in by_kind.items()
        },
    )


def ockham_index(universal: Masks) -> pl.DataFrame:
    """Return the Ockham index of every two concepts of one type, at every layer of one setting.

    Columns are ``SCHEMA``, indices in [0, 1], not rounded; rows are sorted by type, layer,
    ``concept_a``, ``concept_b``. A type of fewer than two concepts has none.
    """
    matrices = jaccard_matrices(universal)
    return pl.concat([_of_type(kind, matrices) for kind in matrices.names])


def _of_type(kind: Kind, matrices: JaccardMatrices) -> pl.DataFrame:
    couples = list(combinations(matrices.names[kind], 2))
    similarities = _couples(matrices, kind)
    n_layers = len(similarities)
    columns = {
        "type": [kind] * similarities.size,
        "layer": np.repeat(np.arange(n_layers), len(couples)),
        "concept_a": [name for name, _ in couples] * n_layers,
        "concept_b": [name for _, name in couples] * n_layers,
        "jaccard": similarities.ravel(),
        "ockham_index": 1 - similarities.ravel(),
    }
    return pl.DataFrame(columns, schema=SCHEMA.polars)


#: couples of concepts more similar than this are counted (docs/science.md §6, ``report-jaccard``)
_SIMILAR = 0.5


def shown(matrices: JaccardMatrices) -> Table:
    """Return a table of the Jaccard similarity between concepts of one type, by layer."""
    shown: dict[tuple[int, str], Sequence[Cell]] = {}
    for kind in matrices.names:
        for layer, values in enumerate(_couples(matrices, kind)):
            similar = int(np.count_nonzero(values > _SIMILAR))
            summed = (float(values.mean()), float(values.max()), similar) if values.size else None
            shown[layer, kind] = summed or (None, None, None)
    counts = [
        f"{_couples(matrices, kind).shape[1]:,} of {TYPE_NAMES[kind]}" for kind in matrices.names
    ]
    return table_by_layer(
        "Jaccard similarity between concepts of one type",
        shown,
        ("mean", "largest", f"> {_SIMILAR}"),
        note=f"Over couples: {' and '.join(counts)}. The Ockham index is 1 − Jaccard.",
    )


def most_similar_shown(matrices: JaccardMatrices) -> Table:
    """Return a table of the most similar concepts at the layer of the mask files' matrices."""
    layer = published_layer(matrices.n_layers)
    couples = [
        (-value, names)
        for kind in matrices.names
        for value, names in zip(
            _couples(matrices, kind)[layer].tolist(),
            combinations(matrices.names[kind], 2),
            strict=True,
        )
    ]
    rows = [[", ".join(names), -value, 1 + value] for value, names in sorted(couples)[:TOP]]
    return table(
        f"The most similar concepts of one type at layer {layer}",
        ["concepts", "Jaccard", "Ockham index"],
        rows,
        folded=True,
    )


def _couples(matrices: JaccardMatrices, kind: Kind) -> npt.NDArray[np.float64]:
    """Similarities of every two concepts of one type: float64 ``[layers, couples]``."""
    first, second = np.triu_indices(len(matrices.names[kind]), k=1)
    return matrices.values[kind][:, first, second]


OCKHAM_INDEX = Artifact(
    key="ockham_index",
    title="Ockham index",
    filename="ockham_index.csv",
    content=SCHEMA,
    description="Ockham index of every two concepts of one type at every layer: 1 − Jaccard, "
    "Jaccard = |A∩B| / |A∪B| of their universal masks. At ε = 0.001, C = 0.8.",
    compute=lambda making: ockham_index(making.universal(STANDALONE)),
    inputs=("masks",),
    setting=STANDALONE,
)

JACCARD_MATRICES = Artifact(
    key="jaccard_matrices",
    title="Jaccard matrices",
    filename="jaccard_matrices.h5",
    content=Layout.JACCARD_MATRICES,
    description="Jaccard |A∩B| / |A∪B| of the universal masks of every two AST nodes, and of "
    "every two builtins, at every layer; 0 where both are empty. At ε = 0.001, C = 0.8.",
    of_own="Jaccard |A∩B| / |A∪B| of the universal masks of every two concepts, at every layer; 0 "
    "where both are empty. At ε = 0.001, C = 0.8.",
    compute=lambda making: jaccard_matrices(making.universal(STANDALONE)),
    inputs=("masks",),
    setting=STANDALONE,
    entries=(Entry("similarity", shown), Entry("similarity", most_similar_shown)),
)
