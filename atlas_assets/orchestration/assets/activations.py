"""Stage 12: how strongly and how often each neuron fired, per unit and layer."""

import dagster as dg
import polars as pl

from atlas_assets.atlas.model import AtlasModel
from atlas_assets.orchestration.assets.declare import MODEL_POOL, atlas_asset
from atlas_assets.orchestration.assets.extract import extract_object_prompts, extract_units
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.activations.units import units_of_checker_prompts
from atlas_assets.storage.store import AtlasStore


def activation_assets() -> list[dg.AssetsDefinition]:
    """Sums and counts over every unit's prompts, for pairs and for testable concepts."""

    @atlas_asset("object_activations", kinds={"pytorch"}, pool=MODEL_POOL)
    def object_activations(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        model: dg.ResourceParam[AtlasModel],
        store: dg.ResourceParam[AtlasStore],
        object_prompts: pl.DataFrame,
    ) -> Activations:
        return extract_object_prompts(context, object_prompts, settings, model, store)

    @atlas_asset("checker_activations", kinds={"pytorch"}, pool=MODEL_POOL)
    def checker_activations(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        model: dg.ResourceParam[AtlasModel],
        store: dg.ResourceParam[AtlasStore],
        checker_prompts: pl.DataFrame,
    ) -> Activations:
        units = units_of_checker_prompts(checker_prompts)
        return extract_units(context, units, settings, model, store)

    return [object_activations, checker_activations]
