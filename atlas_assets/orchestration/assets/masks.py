"""Stage 13: binary masks at every (ε, C) setting, and the sweep as a whole."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import dagster as dg
import polars as pl

from atlas_assets.atlas.model import AtlasModel
from atlas_assets.orchestration.assets.declare import MODEL_POOL, atlas_asset
from atlas_assets.orchestration.assets.extract import extract_units
from atlas_assets.orchestration.assets.sweep import complete_sweep
from atlas_assets.orchestration.partitions import setting_of
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.activations.units import units_of_checker_prompts
from atlas_assets.stages.masks import masks as science
from atlas_assets.storage.store import AtlasStore


def mask_assets(partitions: dg.MultiPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """Object and checker masks per setting, and the token-checker masks at theirs."""

    @atlas_asset("object_masks", partitions=partitions, kinds={"numpy"})
    def object_masks(
        context: dg.AssetExecutionContext, object_activations: Activations
    ) -> dict[str, Any]:
        # made as they are written: one setting's masks are as large as all tables together
        return {
            key: partial(science.object_masks, object_activations, setting_of(key))
            for key in context.partition_keys
        }

    @atlas_asset("checker_masks", partitions=partitions, kinds={"numpy"})
    def checker_masks(
        context: dg.AssetExecutionContext, checker_activations: Activations
    ) -> dict[str, Any]:
        return {
            key: science.checker_masks(checker_activations, setting_of(key))
            for key in context.partition_keys
        }

    @atlas_asset("token_checker_masks", kinds={"numpy", "pytorch"}, pool=MODEL_POOL)
    def token_checker_masks(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        model: dg.ResourceParam[AtlasModel],
        store: dg.ResourceParam[AtlasStore],
        token_checker_prompts: pl.DataFrame,
    ) -> science.CheckerMasks:
        units = units_of_checker_prompts(token_checker_prompts)
        activations = extract_units(context, units, settings, model, store)
        return science.checker_masks(activations, settings.token_checker)

    return [object_masks, checker_masks, token_checker_masks]


def sweep_asset(
    stages_11_to_13: list[dg.AssetsDefinition], resources: Mapping[str, Any]
) -> dg.AssetsDefinition:
    """``masks``: completes the sweep, then gathers its universal masks.

    Args:
        stages_11_to_13: the definitions of ``object_masks`` and ``checker_masks``, whose missing
            or stale partitions are materialised as runs of their own, and of what feeds them.
        resources: what those runs are given to work with.
    """

    @atlas_asset("masks", deps=["object_masks", "checker_masks"], kinds={"polars"})
    def masks(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        store: dg.ResourceParam[AtlasStore],
    ) -> pl.DataFrame:
        complete_sweep(context, settings.sweep, store, stages_11_to_13, resources)
        return science.universal_table(
            {
                setting: store.recall("object_masks", setting, part="universal").universal
                for setting in settings.sweep
            }
        )

    return masks
