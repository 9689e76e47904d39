"""Published and contrastive circuits of either half of the prompts, and how well these agree.

Calibrated circuits come from stored activations of both halves (`stages.circuits.halves`); these
take the network, which the job ``validate`` runs.
"""

from __future__ import annotations

import polars as pl

from atlas_assets.stages.activations.activations import units_of_object_prompts
from atlas_assets.stages.activations.positions import HALVES
from atlas_assets.stages.circuits import circuits, definitions, halves, samples
from atlas_assets.stages.circuits.samples import Half
from atlas_assets.stages.making import Making
from atlas_assets.stages.masks.masks import Masks, threshold, universal
from atlas_assets.stages.schema import Column, TableSchema
from atlas_assets.stages.setting import PUBLISHED, REFERENCE

#: prompts of a pair in a half, at most
PER_PAIR = 10
SCHEMA = TableSchema(
    columns=(
        Column("definition", pl.String(), "published or contrastive"),
        Column("half", pl.String(), "discovery or test, by domain", allowed=HALVES),
        *circuits.SCHEMA.columns,
    ),
    key=("definition", "half", *circuits.SCHEMA.key),
)


def of_half(making: Making, published: Masks, half: Half) -> dict[str, Masks]:
    """Return the circuits that the prompts of one half give, by definition.

    Args:
        making: Runs the model.
        published: The published circuits of all prompts, whose sizes contrastive ones have.
        half: The half.
    """
    prompts: pl.DataFrame = making.read("object_prompts")
    in_half = pl.col("variation_id") % samples.DOMAINS
    own = prompts.filter(in_half.is_in(samples.DISCOVERY) == (half == "discovery"))
    few = own.filter(pl.int_range(pl.len()).over("ast_node", "builtin_obj") < PER_PAIR)
    read = making.model.read(units_of_object_prompts(few))
    sample = samples.by_pair(prompts, half)
    attributions, _ = making.model.attribute(sample)
    rows = [published.index(concept) for concept in sample.concepts]
    sizes = Masks(sample.concepts, published.bits[rows])
    return {
        PUBLISHED: universal(threshold(read, REFERENCE)),
        "contrastive": definitions.contrastive(attributions, sizes),
    }


def to_table(found: dict[Half, dict[str, Masks]]) -> pl.DataFrame:
    """Return the circuits of both halves as rows of neurons: columns ``SCHEMA``, sorted."""
    tables = [
        circuits.to_table(masks).select(
            pl.lit(definition).alias("definition"), pl.lit(half).alias("half"), pl.all()
        )
        for half, by_definition in found.items()
        for definition, masks in by_definition.items()
    ]
    return pl.concat(tables).sort(SCHEMA.key)


def agreements(table: pl.DataFrame, like: Masks) -> dict[str, dict[str, float]]:
    """Return the Jaccard similarity of each concept's circuits from both halves, by definition.

    Args:
        table: Columns ``SCHEMA``.
        like: Circuits of the same concepts.
    """
    found = {}
    for definition in table["definition"].unique().sort():
        one, other = (
            circuits.from_table(
                table.filter(definition=definition, half=half), like, where="half_circuits"
            )
            for half in HALVES
        )
        found[definition] = dict(zip(like.names, halves.jaccard(one, other), strict=True))
    return found
