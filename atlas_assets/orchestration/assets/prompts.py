"""Stage 11: the prompts (paper §4).

Object prompts show a concept pair; checker prompts hold a concept's keyword without the concept.
"""

from typing import Any

import dagster as dg
import polars as pl

from atlas_assets.atlas.model import AtlasModel
from atlas_assets.orchestration.assets.declare import MODEL_POOL, atlas_asset
from atlas_assets.orchestration.assets.extract import score_candidates
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.concepts import concept_name
from atlas_assets.stages.prompts import checker_prompts as checkers
from atlas_assets.stages.prompts import object_prompts as objects
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.storage.store import AtlasStore


def prompt_assets() -> list[dg.AssetsDefinition]:
    """The three prompt tables, roots of the graph."""

    @atlas_asset("object_prompts", kinds={"polars", "pytorch"}, pool=MODEL_POOL)
    def object_prompts(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        model: dg.ResourceParam[AtlasModel],
        store: dg.ResourceParam[AtlasStore],
    ) -> pl.DataFrame:
        scored = score_candidates(context, settings, model, store)
        kept = objects.filter_by_loss(scored, model.loss_threshold)
        context.add_output_metadata(_filter_report(scored, kept, model.loss_threshold))
        return kept

    @atlas_asset("checker_prompts", kinds={"polars"})
    def checker_prompts(
        settings: dg.ResourceParam[AtlasSettings], model: dg.ResourceParam[AtlasModel]
    ) -> pl.DataFrame:
        return _checker_prompts(settings, model, "checker")

    @atlas_asset("token_checker_prompts", kinds={"polars"})
    def token_checker_prompts(
        settings: dg.ResourceParam[AtlasSettings], model: dg.ResourceParam[AtlasModel]
    ) -> pl.DataFrame:
        return _checker_prompts(settings, model, "token_checker")

    return [object_prompts, checker_prompts, token_checker_prompts]


def _checker_prompts(
    settings: AtlasSettings, model: AtlasModel, variant: checkers.Variant
) -> pl.DataFrame:
    return checkers.generate(
        load_stimuli(),
        model.tokenizer,
        variant=variant,
        concepts=_testable_concepts(settings),
    )


def _testable_concepts(settings: AtlasSettings) -> list[str]:
    """The concepts with a keyword that occur in a pair of the grid in force."""
    pairs = objects.candidate_pairs(
        load_stimuli(), ast_nodes=settings.ast_nodes, builtins=settings.builtins
    )
    present = {concept_name("ast", ast_node) for ast_node, _ in pairs}
    present |= {concept_name("builtin", builtin) for _, builtin in pairs}
    return [name for name in checkers.concepts_with_keyword(load_stimuli()) if name in present]


def _filter_report(scored: pl.DataFrame, kept: pl.DataFrame, threshold: float) -> dict[str, Any]:
    dropped = objects.dropped_pairs(scored, threshold)
    return {
        "candidate_prompts": scored.height,
        "kept_pairs": kept.select("ast_node", "builtin_obj").n_unique(),
        "dropped_pairs": dg.MetadataValue.json(dropped),
        "loss_threshold_nats": threshold,
        "mean_sequence_loss_nats": float(scored["sequence_loss"].mean()),  # type: ignore[arg-type]
    }
