"""The further analyses (docs/science.md §5): what pairs add, how circuits compare.

Each speaks of one setting and is skipped where the sweep lacks it.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from atlas_assets.orchestration.assets.declare import atlas_asset
from atlas_assets.orchestration.assets.one_setting import (
    only_partition_of,
    pairs_and_universal_at,
    universal_at,
)
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.analyses import (
    compositionality,
    layer_profile,
    marginalisation,
    modularity_null,
    ockham,
)
from atlas_assets.stages.setting import REFERENCE, STANDALONE
from atlas_assets.storage.store import AtlasStore

Outputs = Iterator[dg.Output[Any]]


def analysis_assets(settings: AtlasSettings) -> list[dg.AssetsDefinition]:
    """Entanglement, profile and robustness; Ockham index and Jaccard; the permutation null."""
    return [*_pair_assets(settings), *_similarity_assets(), _null_asset()]


def _pair_assets(settings: AtlasSettings) -> list[dg.AssetsDefinition]:
    """What is read off the pair masks: one file of nine."""
    from_pairs: dict[str, Any] = {
        "deps": [only_partition_of("object_masks", settings, STANDALONE)],
        "output_required": False,
        "kinds": {"polars"},
    }

    @atlas_asset("compositionality", **from_pairs)
    def compositionality_(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        store: dg.ResourceParam[AtlasStore],
    ) -> Outputs:
        for pairs, universal in pairs_and_universal_at(context, settings, store, STANDALONE):
            table = compositionality.entanglement(pairs, universal)
            context.add_output_metadata(_by_layer("mean_entanglement", table))
            yield dg.Output(table)

    @atlas_asset("layer_profile", **from_pairs)
    def layer_profile_(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        store: dg.ResourceParam[AtlasStore],
    ) -> Outputs:
        for pairs, universal in pairs_and_universal_at(context, settings, store, STANDALONE):
            yield dg.Output(layer_profile.profile(pairs, universal))

    @atlas_asset("marginalisation_robustness", **from_pairs)
    def marginalisation_robustness(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        store: dg.ResourceParam[AtlasStore],
    ) -> Outputs:
        for pairs, _ in pairs_and_universal_at(context, settings, store, STANDALONE):
            yield dg.Output(marginalisation.robustness(pairs))

    return [compositionality_, layer_profile_, marginalisation_robustness]


def _similarity_assets() -> list[dg.AssetsDefinition]:
    @atlas_asset("ockham_index", output_required=False, kinds={"polars"})
    def ockham_index(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        masks: pl.DataFrame,
    ) -> Outputs:
        for universal in universal_at(context, settings, masks, STANDALONE):
            yield dg.Output(ockham.ockham_index(universal))

    @atlas_asset("jaccard_matrices", output_required=False, kinds={"numpy"})
    def jaccard_matrices(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        masks: pl.DataFrame,
    ) -> Outputs:
        for universal in universal_at(context, settings, masks, STANDALONE):
            yield dg.Output(ockham.jaccard_matrices(universal))

    return [ockham_index, jaccard_matrices]


def _null_asset() -> dg.AssetsDefinition:
    @atlas_asset("modularity_null", output_required=False, kinds={"polars"})
    def modularity_null_(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        masks: pl.DataFrame,
    ) -> Outputs:
        for universal in universal_at(context, settings, masks, REFERENCE):
            table = modularity_null.permutation_null(universal, permutations=settings.permutations)
            yield dg.Output(table)

    return modularity_null_


def _by_layer(name: str, table: pl.DataFrame) -> dict[str, float]:
    """Mean entanglement index of each layer, as numbers that the UI can plot."""
    means = (
        table.group_by("layer", maintain_order=True)
        .agg(pl.col("entanglement_index").mean())
        .sort("layer")
    )
    return {f"{name}_layer_{layer}": mean for layer, mean in means.iter_rows()}
