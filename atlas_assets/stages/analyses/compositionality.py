"""Entanglement: how much of a pair's circuit neither of its concepts explains (docs/science.md §5).

E_I = |pair ∖ (universal_ast ∪ universal_builtin)| / |pair|, 0 when the pair's circuit is empty.
At 0 the pair is the sum of its parts; at 1 none of its neurons belongs to either part for good.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from atlas_assets.stages import columns as col
from atlas_assets.stages.artifact import Artifact, Entry
from atlas_assets.stages.concepts import concepts_of_pair, kinds_of, split_pair
from atlas_assets.stages.making import Making, object_masks_at
from atlas_assets.stages.masks.masks import Masks, published_layer, require_same_layers
from atlas_assets.stages.report.table import Table, both_ends, table
from atlas_assets.stages.schema import TableSchema
from atlas_assets.stages.setting import STANDALONE

_RULES = (col.ratio_of("entanglement_index", "unexplained", "pair_size"),)
_SIZE = col.count("pair_size", "|P|, number of neurons in the pair's mask P")
OWN_SCHEMA = TableSchema(
    columns=(
        *col.OWN_PAIR,
        col.LAYER,
        _SIZE,
        col.count("unexplained", "|P ∖ A|, A the universal mask of its concept"),
        col.share("entanglement_index", "E_I = |P ∖ A| / |P|, 0 where P is empty"),
    ),
    key=("concept", "unit", "layer"),
    rules=_RULES,
)
SCHEMA = TableSchema(
    columns=(
        col.text("ast_node", "AST node type of the pair"),
        col.text("builtin_obj", "builtin of the pair; _isolated_ where the node takes none"),
        col.LAYER,
        _SIZE,
        col.count("unexplained", "|P ∖ (A ∪ B)|, A and B the universal masks of its two concepts"),
        col.share("entanglement_index", "E_I = |P ∖ (A ∪ B)| / |P|, 0 where P is empty"),
    ),
    key=("ast_node", "builtin_obj", "layer"),
    rules=_RULES,
    own=OWN_SCHEMA,
)


def entanglement(pairs: Masks, universal: Masks) -> pl.DataFrame:
    """Return the entanglement index of every pair at every layer of one setting.

    Returns:
        Columns ``SCHEMA`` (of own concepts ``OWN_SCHEMA``): sizes in neurons, the index in [0, 1],
        not rounded. One row per AST node, builtin and layer, in that order.

    Raises:
        ArtifactError: Layers or widths differ, or a pair's concept has no universal mask.
    """
    require_same_layers(universal, pairs, "universal masks", "pair masks")
    # names sort otherwise than (AST node, builtin): "ImportFrom__" comes before "Import__"
    units = sorted((*split_pair(name), row) for row, name in enumerate(pairs.names))
    pair_rows = np.array([row for *_, row in units], dtype=np.intp)
    concepts = [concepts_of_pair(pairs.names[row]) for row in pair_rows]
    explained = np.zeros((len(units), *universal.bits.shape[1:]), dtype=np.bool_)
    for of_pair in zip(*concepts, strict=True):
        explained |= universal.bits[[universal.index(concept) for concept in of_pair]]
    pair_bits = pairs.bits[pair_rows]
    sizes = np.count_nonzero(pair_bits, axis=2).ravel()
    unexplained = np.count_nonzero(pair_bits & ~explained, axis=2).ravel()
    shares = np.divide(unexplained, sizes, out=np.zeros(sizes.shape), where=sizes > 0)
    schema = OWN_SCHEMA if kinds_of(universal.names) == ("own",) else SCHEMA
    first, second = schema.key[:2]
    columns = {
        first: [half for half, _, _ in units for _ in range(pairs.n_layers)],
        second: [half for _, half, _ in units for _ in range(pairs.n_layers)],
        "layer": np.tile(np.arange(pairs.n_layers), len(units)),
        "pair_size": sizes,
        "unexplained": unexplained,
        "entanglement_index": shares,
    }
    return pl.DataFrame(columns, schema=schema.polars)


#: pairs less entangled than this are counted (docs/science.md §6, ``report-ei``)
_LITTLE = 0.2


def shown(compositionality: pl.DataFrame) -> Table:
    """Return a table of the entanglement index by layer."""
    index = pl.col("entanglement_index")
    of_layers = compositionality.group_by("layer", maintain_order=True).agg(
        index.len(),
        index.mean().alias("mean"),
        index.median().alias("median"),
        (index < _LITTLE).mean().alias("low"),
        (pl.col("pair_size") == 0).sum().alias("empty"),
    )
    return table(
        "Entanglement index of pairs",
        ["layer", "pairs", "mean", "median", f"share below {_LITTLE}", "empty pairs"],
        [[f"layer {layer}", *rest] for layer, *rest in of_layers.sort("layer").rows()],
        note="An empty pair counts as 0.",
    )


def pairs_shown(compositionality: pl.DataFrame) -> Table:
    """Return a table of the pairs that their concepts explain least, and best, at one layer."""
    layer = published_layer(compositionality["layer"].n_unique())
    at_layer = compositionality.filter(pl.col("layer") == layer, pl.col("pair_size") > 0)
    names = list(SCHEMA.of(compositionality.columns).key[:2])
    ranked = at_layer.sort("entanglement_index", *names, descending=[True, False, False])
    shown = both_ends(ranked).select(*names, "entanglement_index", "pair_size", "unexplained")
    return table(
        f"The most and the least entangled pairs at layer {layer}",
        ["pair", "E_I", "neurons", "unexplained"],
        [[f"{first} + {second}", *values] for first, second, *values in shown.rows()],
        folded=True,
    )


def _compute(making: Making) -> pl.DataFrame:
    table = entanglement(*object_masks_at(making, STANDALONE))
    means = table.group_by("layer", maintain_order=True).agg(pl.col("entanglement_index").mean())
    rows = means.sort("layer").rows()
    making.note(**{f"mean_entanglement_layer_{layer}": mean for layer, mean in rows})
    return table


COMPOSITIONALITY = Artifact(
    key="compositionality",
    title="Entanglement of pairs",
    filename="compositionality.csv",
    content=SCHEMA,
    description="Entanglement of every pair at every layer: E_I = |P ∖ (A ∪ B)| / |P|, with P "
    "the pair's mask, A and B the universal masks of its AST node and builtin; 0 where P is "
    "empty. At ε = 0.001, C = 0.8.",
    of_own="Entanglement of every pair at every layer: E_I = |P ∖ A| / |P|, with P the mask of a "
    "concept's unit and A the universal mask of the concept; 0 where P is empty. At ε = 0.001, "
    "C = 0.8.",
    compute=_compute,
    inputs=("object_masks",),
    setting=STANDALONE,
    entries=(Entry("entanglement", shown), Entry("entanglement", pairs_shown)),
)
