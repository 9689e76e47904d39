"""Marginalisation robustness: circuit size as one intersects 1, 2, … pairs (docs/science.md §5).

A universal circuit is the intersection of the circuits of all pairs of a concept. How soon its
size settles says whether it would survive yet another partner. The pairs have no natural order, so
the sizes are averaged over random ones.
"""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.stages import columns as col
from atlas_assets.stages import streams
from atlas_assets.stages.artifact import Artifact, Entry
from atlas_assets.stages.concepts import pairs_of_concepts, split_concept
from atlas_assets.stages.making import object_masks_at
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.masks.similarity import packed
from atlas_assets.stages.report.table import Table, table_by_layer
from atlas_assets.stages.rounding import Counts
from atlas_assets.stages.schema import TableSchema
from atlas_assets.stages.setting import STANDALONE

SCHEMA = TableSchema(
    columns=(
        col.concept("concept", "concept"),
        col.KIND,
        col.LAYER,
        col.count(
            "n_pairs_intersected",
            "k: how many of the concept's pairs are intersected; in the last row of a layer all, "
            "which gives the universal mask",
            minimum=1,
        ),
        col.mean(
            "mean_size", "neurons in the intersection of k pair masks, mean over random orders"
        ),
        col.count("min_size", "the smallest over the orders"),
        col.count("max_size", "the largest over the orders"),
    ),
    key=("concept", "layer", "n_pairs_intersected"),
    rules=(col.between("min_size", "mean_size", "max_size"),),
)


def robustness(pairs: Masks, *, orders: int = 20, seed: int = 42) -> pl.DataFrame:
    """Return the sizes of every concept's circuit as its pairs are intersected one after another.

    Args:
        pairs: The masks of the pairs.
        orders: The number of random orders of each concept's pairs, ≥ 1, else a SettingsError.
        seed: The seed of the orders, ≥ 0. A concept's orders depend on the seed, its name and its
            number of pairs only; they are the same at every layer.

    Returns:
        Columns ``SCHEMA``, sizes in neurons; mean, smallest and largest over the orders. One row
        per concept, layer and number of pairs (1, 2, … all of them), in that order. With all
        pairs the three sizes are that of the universal circuit.
    """
    streams.require_between(orders, 1, sys.maxsize, "orders")
    words = packed(pairs.bits)
    tables = [SCHEMA.polars.to_frame()]
    for concept, rows in pairs_of_concepts(pairs.names).items():
        sizes = _shrinking_sizes(words[rows], random_orders(concept, len(rows), orders, seed))
        tables.append(_table(concept, sizes))
    return pl.concat(tables)


def random_orders(concept: str, n_pairs: int, orders: int, seed: int) -> npt.NDArray[np.intp]:
    """Return random orders of a concept's pairs, one a row: intp ``[orders, n_pairs]``."""
    stream = streams.of_concept(seed, concept)
    return np.stack([stream.permutation(n_pairs) for _ in range(orders)]).astype(np.intp)


def _shrinking_sizes(words: npt.NDArray[np.uint64], orders: npt.NDArray[np.intp]) -> Counts:
    """Sizes of the intersection of the first 1, 2, … pairs: int64 ``[orders, pairs, layers]``."""
    sizes = np.empty((*orders.shape, words.shape[1]), dtype=np.int64)
    for order, found in zip(orders, sizes, strict=True):
        common = np.bitwise_and.accumulate(words[order], axis=0)
        np.bitwise_count(common).sum(axis=2, dtype=np.int64, out=found)
    return sizes


def _table(concept: str, sizes: Counts) -> pl.DataFrame:
    _, n_pairs, n_layers = sizes.shape
    n_rows = n_pairs * n_layers
    columns = {
        "concept": [concept] * n_rows,
        "type": [split_concept(concept)[0]] * n_rows,
        "layer": np.repeat(np.arange(n_layers), n_pairs),
        "n_pairs_intersected": np.tile(np.arange(1, n_pairs + 1), n_layers),
        "mean_size": sizes.mean(axis=0).T.ravel(),
        "min_size": sizes.min(axis=0).T.ravel(),
        "max_size": sizes.max(axis=0).T.ravel(),
    }
    return pl.DataFrame(columns, schema=SCHEMA.polars)


def shown(robustness: pl.DataFrame) -> Table:
    """Return a table of the mean circuit size after one, half and all of a concept's pairs."""
    k, last = pl.col("n_pairs_intersected"), pl.col("n_pairs_intersected").max()
    size = pl.col("mean_size")
    settled = robustness.group_by("concept", "type", "layer", maintain_order=True).agg(
        size.filter(k == 1).first().alias("one"),
        size.filter(k == (last + 1) // 2).first().alias("half"),
        size.filter(k == last).first().alias("all"),
    )
    means = settled.group_by("layer", "type", maintain_order=True).agg(
        pl.col("one", "half", "all").mean()
    )
    return table_by_layer(
        "Circuit size as pairs are intersected, neurons",
        {(layer, kind): sizes for layer, kind, *sizes in means.iter_rows()},
        ("one pair", "half", "all"),
        note="Means over concepts and random orders of a concept's pairs.",
        places=1,
    )


ROBUSTNESS = Artifact(
    key="marginalisation_robustness",
    title="Marginalisation robustness",
    filename="marginalisation_robustness.csv",
    content=SCHEMA,
    description="How a circuit shrinks as its pairs are intersected one after another: "
    "|P₁ ∩ … ∩ P_k| for k = 1 … all, over 20 random orders (seed 42). At ε = 0.001, C = 0.8.",
    compute=lambda making: robustness(object_masks_at(making, STANDALONE)[0]),
    inputs=("object_masks",),
    setting=STANDALONE,
    entries=(Entry("sizes", shown),),
)
