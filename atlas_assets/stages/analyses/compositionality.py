"""Entanglement: how much of a pair's circuit neither of its concepts explains (docs/science.md §5).

E_I = |pair ∖ (universal_ast ∪ universal_builtin)| / |pair|, 0 when the pair's circuit is empty.
At 0 the pair is the sum of its parts; at 1 none of its neurons belongs to either part for good.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from atlas_assets.stages.concepts import concept_name, split_pair
from atlas_assets.stages.masks.masks import Masks, require_same_layers

SCHEMA = pl.Schema(
    {
        "ast_node": pl.String(),
        "builtin_obj": pl.String(),
        "layer": pl.Int64(),
        "pair_size": pl.Int64(),
        "unexplained": pl.Int64(),
        "entanglement_index": pl.Float64(),
    }
)


def entanglement(pairs: Masks, universal: Masks) -> pl.DataFrame:
    """The entanglement index of every pair at every layer.

    Args:
        pairs: masks of the pairs at one setting.
        universal: universal masks at the same setting; may hold more concepts than the pairs have.

    Returns:
        Columns ``SCHEMA``: sizes in neurons, the index in [0, 1], not rounded. One row per AST
        node, builtin and layer, in that order.

    Raises:
        ArtifactError: layers or widths differ, or a pair's concept has no universal mask.
    """
    require_same_layers(universal, pairs, "universal masks", "pair masks")
    # names sort otherwise than (AST node, builtin): "ImportFrom__" comes before "Import__"
    units = sorted((*split_pair(name), row) for row, name in enumerate(pairs.names))
    ast_rows, builtin_rows = (
        np.array([universal.index(name) for name in names], dtype=np.intp)
        for names in (
            [concept_name("ast", ast_node) for ast_node, _, _ in units],
            [concept_name("builtin", builtin) for _, builtin, _ in units],
        )
    )
    explained = universal.bits[ast_rows] | universal.bits[builtin_rows]
    pair_bits = pairs.bits[np.array([row for _, _, row in units], dtype=np.intp)]
    sizes = np.count_nonzero(pair_bits, axis=2).ravel()
    unexplained = np.count_nonzero(pair_bits & ~explained, axis=2).ravel()
    shares = np.divide(unexplained, sizes, out=np.zeros(sizes.shape), where=sizes > 0)
    columns = {
        "ast_node": [ast_node for ast_node, _, _ in units for _ in range(pairs.n_layers)],
        "builtin_obj": [builtin for _, builtin, _ in units for _ in range(pairs.n_layers)],
        "layer": np.tile(np.arange(pairs.n_layers), len(units)),
        "pair_size": sizes,
        "unexplained": unexplained,
        "entanglement_index": shares,
    }
    return pl.DataFrame(columns, schema=SCHEMA)
