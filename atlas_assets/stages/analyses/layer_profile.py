"""Layer profile: how large circuits are at each layer (docs/science.md §5).

Sizes are numbers of neurons: of the circuits of pairs, and of the universal circuits of AST nodes
and of builtins. Empty circuits count, with size 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.stages.concepts import split_concept
from atlas_assets.stages.masks.masks import Masks, require_same_layers

#: the order of the rows of one layer
TYPES = ("pair", "ast", "builtin")
SCHEMA = pl.Schema(
    {
        "layer": pl.Int64(),
        "type": pl.String(),
        "n": pl.Int64(),
        "mean_size": pl.Float64(),
        "median_size": pl.Float64(),
        "min_size": pl.Int64(),
        "max_size": pl.Int64(),
    }
)


def profile(pairs: Masks, universal: Masks) -> pl.DataFrame:
    """Sizes of the circuits of each type at each layer.

    Args:
        pairs: masks of the pairs at one setting.
        universal: universal masks at the same setting.

    Returns:
        Columns ``SCHEMA``, not rounded; one row per layer and type, in the order of ``TYPES``. A
        type without any circuit has no rows.

    Raises:
        ArtifactError: layers or widths differ.
        StimulusError: a name is not that of a concept.
    """
    require_same_layers(universal, pairs, "universal masks", "pair masks")
    concept_sizes = universal.sizes()
    kinds = [split_concept(name)[0] for name in universal.names]
    by_type = {"pair": pairs.sizes()}
    for kind in ("ast", "builtin"):
        by_type[kind] = concept_sizes[[found == kind for found in kinds]]
    rows = [
        _row(layer, name, by_type[name][:, layer])
        for layer in range(pairs.n_layers)
        for name in TYPES
        if len(by_type[name])
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _row(layer: int, name: str, sizes: npt.NDArray[np.int64]) -> tuple[object, ...]:
    spread = float(sizes.mean()), float(np.median(sizes)), int(sizes.min()), int(sizes.max())
    return layer, name, len(sizes), *spread
