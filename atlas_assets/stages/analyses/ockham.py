"""Jaccard similarity within a type of concept, and the Ockham index (docs/science.md §5).

The Ockham index of two concepts of one type is 1 − Jaccard of their universal circuits: 0 when one
circuit would do for both, 1 when they share no neuron (or have none).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.stages import columns as col
from atlas_assets.stages.artifact import Artifact, Entry, Layout
from atlas_assets.stages.concepts import Kind, split_concept
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.masks.similarity import jaccard
from atlas_assets.stages.report.table import TOP, TYPE_NAMES, Cell, Table, layer_shown, table
from atlas_assets.stages.schema import Rule, TableSchema
from atlas_assets.stages.setting import STANDALONE

KINDS: tuple[Kind, ...] = ("ast", "builtin")
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
    return pl.DataFrame(columns, schema=SCHEMA.polars)


#: couples of concepts more similar than this are counted (docs/science.md §6, ``report-jaccard``)
_SIMILAR = 0.5


def shown(matrices: JaccardMatrices) -> Table:
    """Jaccard similarity between concepts of one type, by layer."""
    rows: list[list[Cell]] = []
    for layer in range(len(matrices.values["ast"])):
        row: list[Cell] = [f"layer {layer}"]
        for kind in KINDS:
            values = _couples(matrices, kind, layer)
            similar = int(np.count_nonzero(values > _SIMILAR))
            row += (
                [float(values.mean()), float(values.max()), similar] if values.size else [None] * 3
            )
        rows.append(row)
    columns = [
        f"{TYPE_NAMES[kind]}, {what}"
        for kind in KINDS
        for what in ("mean", "largest", f"> {_SIMILAR}")
    ]
    counts = [f"{_couples(matrices, kind, 0).size:,} of {TYPE_NAMES[kind]}" for kind in KINDS]
    return table(
        "Jaccard similarity between concepts of one type",
        ["layer", *columns],
        rows,
        note=f"Over couples: {' and '.join(counts)}. The Ockham index is 1 − Jaccard.",
    )


def most_similar_shown(matrices: JaccardMatrices) -> Table:
    """The couples of concepts with the largest similarity at the layer of the mask files'."""
    layer = layer_shown(len(matrices.values["ast"]))
    couples: list[tuple[float, str, str]] = []
    for kind in KINDS:
        names = matrices.names[kind]
        first, second = np.triu_indices(len(names), k=1)
        values = matrices.values[kind][layer][first, second]
        couples += [
            (float(value), names[i], names[j])
            for value, i, j in zip(values, first, second, strict=True)
        ]
    couples.sort(key=lambda couple: (-couple[0], couple[1:]))
    rows: list[list[Cell]] = [[f"{a}, {b}", v, 1 - v] for v, a, b in couples[:TOP]]
    return table(
        f"The most similar concepts of one type at layer {layer}",
        ["concepts", "Jaccard", "Ockham index"],
        rows,
        folded=True,
    )


def _couples(matrices: JaccardMatrices, kind: Kind, layer: int) -> npt.NDArray[np.float64]:
    """Similarities of every two concepts of one type at one layer."""
    matrix = matrices.values[kind][layer]
    couples: npt.NDArray[np.float64] = matrix[np.triu_indices(len(matrix), k=1)]
    return couples


OCKHAM_INDEX = Artifact(
    key="ockham_index",
    title="Ockham index",
    filename="ockham_index.csv",
    content=SCHEMA,
    group="stage_15_downstream",
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
    group="stage_15_downstream",
    description="Jaccard |A∩B| / |A∪B| of the universal masks of every two AST nodes, and of "
    "every two builtins, at every layer; 0 where both are empty. At ε = 0.001, C = 0.8.",
    compute=lambda making: jaccard_matrices(making.universal(STANDALONE)),
    inputs=("masks",),
    setting=STANDALONE,
    entries=(Entry("similarity", shown), Entry("similarity", most_similar_shown)),
)
