"""Layer profile: how large circuits are at each layer (docs/science.md §5).

Sizes are numbers of neurons: of the circuits of pairs, and of the universal circuits of AST nodes
and of builtins. Empty circuits count, with size 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.stages import columns as col
from atlas_assets.stages.artifact import Artifact, Entry
from atlas_assets.stages.concepts import KINDS
from atlas_assets.stages.making import object_masks_at
from atlas_assets.stages.masks.masks import Masks, require_same_layers
from atlas_assets.stages.masks.packed import PackedMasks
from atlas_assets.stages.report.table import Table, table_by_layer
from atlas_assets.stages.schema import Column, TableSchema
from atlas_assets.stages.setting import STANDALONE

#: the order of the rows of one layer
TYPES = ("pair", *KINDS)
SCHEMA = TableSchema(
    columns=(
        col.LAYER,
        Column(
            "type",
            pl.String(),
            "pair (pair masks), ast or builtin (universal masks); own for own prompts",
            allowed=TYPES,
        ),
        col.count("n", "number of circuits, empty ones included", minimum=1),
        col.mean("mean_size", "mean number of neurons"),
        col.mean("median_size", "median number of neurons"),
        col.count("min_size", "neurons of the smallest circuit"),
        col.count("max_size", "neurons of the largest circuit"),
    ),
    key=("layer", "type"),
    rules=(col.between("min_size", "mean_size", "max_size"),),
    may_be_empty=False,
)


def profile(pairs: Masks | PackedMasks, universal: Masks) -> pl.DataFrame:
    """Return the sizes of the circuits of each type at each layer of one setting.

    Columns are ``SCHEMA``, not rounded; there is one row per layer and type, in the order of
    ``TYPES``; a type without any circuit has no rows. Other layers or widths are an ArtifactError.
    """
    require_same_layers(universal, pairs, "universal masks", "pair masks")
    by_type = {"pair": pairs.sizes()}
    by_type |= {kind: universal.of_kind(kind).sizes() for kind in KINDS}
    rows = [
        _row(layer, name, by_type[name][:, layer])
        for layer in range(pairs.n_layers)
        for name in TYPES
        if len(by_type[name])
    ]
    return pl.DataFrame(rows, schema=SCHEMA.polars, orient="row")


def _row(layer: int, name: str, sizes: npt.NDArray[np.int64]) -> tuple[object, ...]:
    spread = float(sizes.mean()), float(np.median(sizes)), int(sizes.min()), int(sizes.max())
    return layer, name, len(sizes), *spread


def shown(layer_profile: pl.DataFrame) -> Table:
    """Return a table of the mean and median circuit sizes by layer."""
    sizes = {
        (row["layer"], row["type"]): (row["mean_size"], row["median_size"])
        for row in layer_profile.iter_rows(named=True)
    }
    return table_by_layer("Circuit sizes, neurons", sizes, ("mean", "median"), places=1)


PROFILE = Artifact(
    key="layer_profile",
    title="Layer profile",
    filename="layer_profile.csv",
    content=SCHEMA,
    description="How large circuits are at each layer: mean, median and range of |mask| over "
    "pairs, AST nodes and builtins. At ε = 0.001, C = 0.8.",
    of_own="How large circuits are at each layer: mean, median and range of |mask| over pairs (a "
    "concept with one of its units) and concepts. At ε = 0.001, C = 0.8.",
    compute=lambda making: profile(*object_masks_at(making, STANDALONE)),
    inputs=("object_masks",),
    setting=STANDALONE,
    entries=(Entry("sizes", shown),),
)
