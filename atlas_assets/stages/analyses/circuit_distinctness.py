"""How many different circuits there are, and how much of them is common to all.

Per setting and layer, over the n universal masks of all concepts, empty ones included::

    distinct      number of different masks
    core_size     number of neurons that are in at least 90% of the n masks
    mean_jaccard  mean of |A∩B| / |A∪B| over all couples of masks, 0 where both are empty
    entropy_bits  −Σ p log2 p, p being the share of the n masks that are one and the same;
                  0 where all are equal, log2 n where all differ
"""

from __future__ import annotations

import numpy as np
import polars as pl

from atlas_assets.stages import columns as col
from atlas_assets.stages.artifact import Artifact, Entry
from atlas_assets.stages.making import Making
from atlas_assets.stages.masks.masks import Bits, Masks
from atlas_assets.stages.masks.similarity import jaccard
from atlas_assets.stages.report.table import Table, table
from atlas_assets.stages.schema import Rule, TableSchema
from atlas_assets.stages.setting import REFERENCE, Setting

SCHEMA = TableSchema(
    columns=(
        col.EPSILON,
        col.CONSISTENCY,
        col.LAYER,
        col.count("n_circuits", "universal masks, one per concept, empty ones included"),
        col.count("distinct", "different masks among them"),
        col.count("core_size", "neurons that at least 90% of the masks hold"),
        col.share(
            "mean_jaccard",
            "mean |A∩B| / |A∪B| over all couples of masks; none of one mask alone",
            nullable=True,
        ),
        col.mean("entropy_bits", "−Σ p log2 p over the different masks, p the share of each"),
    ),
    key=("epsilon", "consistency", "layer"),
    rules=(
        Rule(
            "distinct ≤ n_circuits",
            ("distinct", "n_circuits"),
            pl.col("distinct") <= pl.col("n_circuits"),
        ),
    ),
    may_be_empty=False,
)


def distinctness(setting: Setting, universal: Masks) -> pl.DataFrame:
    """Return how distinct the circuits are at one setting: columns ``SCHEMA``, a row per layer."""
    rows = [
        (setting.epsilon, setting.consistency, layer, *_of_layer(universal.bits[:, layer]))
        for layer in range(universal.n_layers)
    ]
    return pl.DataFrame(rows, schema=SCHEMA.polars, orient="row")


def _of_layer(bits: Bits) -> tuple[int, int, int, float | None, float]:
    """Return the measures of the masks of one layer, bool ``[concepts, width]``."""
    n = len(bits)
    if not n:
        return 0, 0, 0, None, 0.0
    repeats = np.sort(np.unique(bits, axis=0, return_counts=True)[1])
    # a share of 90% in whole numbers, so that no rounding decides
    core = int(np.count_nonzero(bits.sum(axis=0) * 10 >= n * 9))
    shares = repeats / n
    entropy = float(np.abs(np.sum(shares * np.log2(shares))))
    couples = jaccard(bits)[np.triu_indices(n, k=1)]
    return n, len(repeats), core, float(couples.mean()) if couples.size else None, entropy


def shown(distinct: pl.DataFrame) -> Table:
    """Return a table of the reference setting, or of the first setting there is."""
    settings = [Setting(*row) for row in distinct.select("epsilon", "consistency").rows()]
    setting = REFERENCE if REFERENCE in settings else settings[0]
    at = distinct.filter(epsilon=setting.epsilon, consistency=setting.consistency)
    measures = at.select("layer", "distinct", "core_size", "mean_jaccard", "entropy_bits")
    return table(
        f"How distinct circuits are, at {setting}",
        ["layer", "different circuits", "core, neurons", "mean Jaccard", "entropy, bits"],
        [[f"layer {layer}", *values] for layer, *values in measures.rows()],
        note=f"Of {at['n_circuits'][0]} circuits. Core: neurons in at least 90% of them.",
    )


def _compute(making: Making) -> pl.DataFrame:
    return pl.concat(distinctness(at, making.universal(at)) for at in making.sweep)


CIRCUIT_DISTINCTNESS = Artifact(
    key="circuit_distinctness",
    title="Distinctness of circuits",
    filename="circuit_distinctness.csv",
    content=SCHEMA,
    description="Per setting and layer: how many different universal masks there are, the core "
    "that at least 90% of them share, their mean Jaccard |A∩B| / |A∪B|, and the entropy of which "
    "mask a concept has, in bits.",
    compute=_compute,
    inputs=("masks",),
    entries=(Entry("similarity", shown, rank=2),),
)
