"""Relaxed modularity: which circuits stand apart from all others (paper §6.1, docs/science.md §5).

Per layer, a concept's *trimmed mean* is its mean Jaccard similarity to the other concepts after the
share p of the most similar ones is dropped. Its *percentile* is the share of concepts whose trimmed
mean is at most its own; below 0.05 the layer is significant for that concept.

The release keeps similarities and means in float32, where other trimmed means fall together than in
float64, and a tie decides a percentile. So everything here is float32 as well, in the same order of
summation. (The card speaks of a permutation null; the released code has none.)
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.stages import columns as col
from atlas_assets.stages.artifact import Artifact, Entry
from atlas_assets.stages.check import Check, Details, Inspected, rows_cover
from atlas_assets.stages.concepts import split_concept
from atlas_assets.stages.masks.masks import Masks, universal_from_table
from atlas_assets.stages.masks.similarity import jaccard
from atlas_assets.stages.report.table import TOP, Cell, Table, table
from atlas_assets.stages.rounding import decimals
from atlas_assets.stages.schema import Column, TableSchema
from atlas_assets.stages.setting import REFERENCE

#: shares of nearest neighbours that are dropped
TRIMS = (0.0, 0.05, 0.1, 0.25)
#: a layer is significant below this percentile
SIGNIFICANCE = 0.05

DETAIL_SCHEMA = TableSchema(
    columns=(
        col.concept("object", "concept"),
        col.KIND,
        col.LAYER,
        col.share("p_trim", "share p of the most similar other concepts that is dropped"),
        col.share(
            "observed_trimmed_jaccard",
            "mean Jaccard |A∩B| / |A∪B| to the other concepts after dropping floor(p·n) of them",
        ),
        col.share("percentile", "share of concepts whose trimmed mean is at most this one's"),
        Column("significant", pl.Boolean(), "percentile < 0.05"),
    ),
    key=("object", "layer", "p_trim"),
)


SCORES_SCHEMA = TableSchema(
    columns=(
        col.concept("index", "concept; its header in the file is empty, as pandas writes an index"),
        col.KIND,
        *(
            col.count(
                f"p={trim}",
                f"layers in which the concept's mean Jaccard to the others, less the {trim:.0%} "
                "most similar, is in the lowest 5%",
            )
            for trim in TRIMS
        ),
    ),
    key=("index",),
    unnamed_in_csv="index",
)

Singles = npt.NDArray[np.float32]


def trimmed_means(bits: npt.NDArray[np.bool_]) -> Singles:
    """Return the mean Jaccard to the others after trimming: float32 ``[trims, concepts]``.

    The masks of one layer are bool ``[concepts, width]``. A concept without others has 0.
    """
    if len(bits) < 2:
        return np.zeros((len(TRIMS), len(bits)), dtype=np.float32)
    others = similarities_to_others(bits).astype(np.float32)
    descending = np.sort(others, axis=1)[:, ::-1]
    dropped = [math.floor(trim * others.shape[1]) for trim in TRIMS]
    # untrimmed means are summed in the order of the concepts, trimmed ones in descending order
    kept = [others if n == 0 else descending[:, n:] for n in dropped]
    return np.stack([np.ascontiguousarray(rows).mean(axis=1) for rows in kept])


def similarities_to_others(bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return the Jaccard similarity of each mask to every other: float64 ``[n, n - 1]``, n ≥ 2."""
    n = len(bits)
    return jaccard(bits)[~np.eye(n, dtype=np.bool_)].reshape(n, n - 1)


def detail(universal: Masks) -> pl.DataFrame:
    """Return the published detail table, columns ``DETAIL_SCHEMA``, at one setting.

    There is one row per layer, object and p_trim, in that order; trimmed mean and percentile have 4
    decimals, ``significant`` is of the unrounded percentile.
    """
    trimmed, shares = _all_layers(universal)
    n_layers, n_concepts, n_trims = trimmed.shape
    kinds = [split_concept(name)[0] for name in universal.names]
    # the release rounds in float32; the second rounding only picks the decimal's own float64
    observed = decimals(np.round(trimmed, 4).astype(np.float64))
    columns = {
        "object": np.tile(np.repeat(universal.names, n_trims), n_layers).tolist(),
        "type": np.tile(np.repeat(kinds, n_trims), n_layers).tolist(),
        "layer": np.repeat(np.arange(n_layers), n_concepts * n_trims),
        "p_trim": np.tile(TRIMS, n_layers * n_concepts),
        "observed_trimmed_jaccard": observed.ravel(),
        "percentile": decimals(shares).ravel(),
        "significant": (shares < SIGNIFICANCE).ravel(),
    }
    return pl.DataFrame(columns, schema=DETAIL_SCHEMA.polars)


def scores(universal: Masks) -> pl.DataFrame:
    """Return the published score table: in how many layers each concept is significant.

    Columns are ``SCORES_SCHEMA``; rows are sorted by ``p=0.0`` and then ``p=0.25``, both
    descending, and then by concept.
    """
    significant = _all_layers(universal)[1] < SIGNIFICANCE
    layers = np.count_nonzero(significant, axis=0)
    rows = [
        (name, split_concept(name)[0], *of_trims)
        for name, of_trims in zip(universal.names, layers.tolist(), strict=True)
    ]
    table = pl.DataFrame(rows, schema=SCORES_SCHEMA.polars, orient="row")
    return table.sort("p=0.0", "p=0.25", "index", descending=[True, True, False])


def _all_layers(universal: Masks) -> tuple[Singles, npt.NDArray[np.float64]]:
    """Trimmed means and their percentiles, each ``[layers, concepts, trims]``."""
    layers = range(universal.n_layers)
    trimmed = np.stack([trimmed_means(universal.bits[:, layer]) for layer in layers])
    at_most = np.count_nonzero(trimmed[..., np.newaxis, :] <= trimmed[..., np.newaxis], axis=-1)
    return trimmed.swapaxes(1, 2), (at_most / len(universal.names)).swapaxes(1, 2)


def shown(scores: pl.DataFrame, null: pl.DataFrame | None) -> Table:
    """Return a table of the ranking, beside what the permutation null says of its concepts."""
    trims = [f"p={trim}" for trim in TRIMS]
    columns = ["concept", *trims]
    rows: list[list[Cell]] = [[*row] for row in scores.head(TOP).select("index", *trims).rows()]
    note = (
        "Layers in which the concept's mean Jaccard to the others, less the share p of the most "
        "similar, is in the lowest 5%."
    )
    if null is not None and null.height:
        apart = null.group_by("object", maintain_order=True).agg(
            (pl.col("p_value") < SIGNIFICANCE).sum().alias("layers"), pl.col("p_value").min()
        )
        found = {name: rest for name, *rest in apart.iter_rows()}
        rows = [[*row, *found.get(str(row[0]), [None, None])] for row in rows]
        columns += [f"null: p-value < {SIGNIFICANCE}", "smallest p-value"]
        number = null["permutations"][0]
        note += f" Null: {number:,} permutations per layer, sizes and popularity of neurons kept."
    of = f"the first {TOP} of {scores.height}" if scores.height > TOP else "all concepts"
    return table(f"Relaxed modularity, {of}", columns, rows, note=note)


def _rows_of_scores(of: Inspected) -> Details:
    universal = universal_from_table(of.input("masks"), REFERENCE)
    return {"rows": rows_cover(of.value, {"index": universal.names})}


def _rows_of_detail(of: Inspected) -> Details:
    universal = universal_from_table(of.input("masks"), REFERENCE)
    layers = range(universal.n_layers)
    axes = {"object": universal.names, "layer": layers, "p_trim": TRIMS}
    return {"rows": rows_cover(of.value, axes)}


MODULARITY_SCORES = Artifact(
    key="modularity_scores",
    title="Relaxed modularity",
    filename="relaxed_modularity_scores.csv",
    content=SCORES_SCHEMA,
    description="In how many layers each concept stands apart: its mean Jaccard to the others, "
    "less the share p of the most similar, is in the lowest 5% (paper §6.1).",
    compute=lambda making: scores(making.universal(REFERENCE)),
    inputs=("masks",),
    setting=REFERENCE,
    checks=(Check("counts", "one row per concept", _rows_of_scores),),
    entries=(Entry("similarity", shown, rank=1, beside="modularity_null"),),
)

MODULARITY_DETAIL = Artifact(
    key="modularity_detail",
    title="Relaxed modularity, in detail",
    filename="relaxed_modularity_detail.csv",
    content=DETAIL_SCHEMA,
    description="Per concept, layer and trim p: mean Jaccard |A∩B| / |A∪B| to the others after "
    "dropping the floor(p·n) most similar, and its percentile (paper §6.1).",
    compute=lambda making: detail(making.universal(REFERENCE)),
    inputs=("masks",),
    setting=REFERENCE,
    checks=(Check("counts", "one row per concept, layer and trim", _rows_of_detail),),
)
