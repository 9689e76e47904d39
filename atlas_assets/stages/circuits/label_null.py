"""Is a circuit larger than one of as many pairs drawn at random, whatever their concept?"""

from __future__ import annotations

import numpy as np
import polars as pl

from atlas_assets.stages import columns as col
from atlas_assets.stages import streams
from atlas_assets.stages.circuits.definitions import held_by
from atlas_assets.stages.circuits.statistics import DRAWS, Indices, benjamini_hochberg
from atlas_assets.stages.concepts import pairs_of_concepts, split_concept
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.masks.thresholds import Singles
from atlas_assets.stages.schema import Rule, TableSchema

SCHEMA = TableSchema(
    columns=(
        col.text("definition", "definition of a circuit"),
        col.concept("concept", "concept"),
        col.KIND,
        col.count("n_pairs", "pairs of the concept", minimum=1),
        col.count("size", "neurons of the circuit, all layers"),
        col.mean("null_mean", "mean size of a circuit of as many random pairs"),
        col.mean("null_low", "2.5th percentile of their sizes"),
        col.mean("null_high", "97.5th percentile of their sizes"),
        col.share("p_value", "(1 + #{null ≥ size}) / (1 + draws)"),
        col.share("q_value", "p-value after Benjamini and Hochberg, over the concepts"),
    ),
    key=("definition", "concept"),
    rules=(
        Rule("p_value ≤ q_value", ("p_value", "q_value"), pl.col("p_value") <= pl.col("q_value")),
    ),
)


def label_null(
    definition: str, pairs: Masks, share: float, *, draws: int = DRAWS, seed: int = 42
) -> pl.DataFrame:
    """Return the sizes of all circuits against those of random labels: columns ``SCHEMA``.

    A concept's circuit is what at least a share of its pairs' masks hold; its null, the same of as
    many pairs drawn without replacement from all. Concepts of equally many pairs share a null.
    """
    members = pairs_of_concepts(pairs.names)
    masks = pairs.bits.reshape(len(pairs.names), -1).astype(np.float32)
    nulls = {
        n: _null_sizes(masks, n, share, draws, streams.of_concept(seed, f"{n} pairs"))
        for n in sorted({len(rows) for rows in members.values()})
    }
    rows = []
    for concept, of_concept in members.items():
        n = len(of_concept)
        null = nulls[n]
        size = int(held_by(masks[of_concept].sum(axis=0).astype(np.int64), n, share).sum())
        p_value = (1 + int(np.count_nonzero(null >= size))) / (1 + draws)
        low, high = np.percentile(null, [2.5, 97.5]).tolist()
        kind, mean = split_concept(concept)[0], float(null.mean())
        rows.append((definition, concept, kind, n, size, mean, low, high, p_value))
    q_values = benjamini_hochberg(np.array([row[-1] for row in rows]))
    complete = [(*row, q_value) for row, q_value in zip(rows, q_values.tolist(), strict=True)]
    return pl.DataFrame(complete, schema=SCHEMA.polars, orient="row")


def _null_sizes(
    masks: Singles, n: int, share: float, draws: int, stream: np.random.Generator
) -> Indices:
    """Return the sizes of circuits of ``n`` random pairs, int64 ``[draws]``."""
    drawn = np.zeros((draws, len(masks)), dtype=np.float32)
    for row in drawn:
        row[stream.choice(len(masks), size=n, replace=False)] = 1
    held = (drawn @ masks).astype(np.int64)
    sizes: Indices = held_by(held, n, share).sum(axis=1)
    return sizes
