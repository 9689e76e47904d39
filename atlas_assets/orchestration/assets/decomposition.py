"""Stage 14: what of a circuit is concept, what is token (paper §6)."""

from typing import Any

import dagster as dg
import polars as pl

from atlas_assets.orchestration.assets.checked import with_universal
from atlas_assets.orchestration.assets.declare import atlas_asset
from atlas_assets.orchestration.partitions import setting_of
from atlas_assets.stages.decomposition import decomposition


def decomposition_assets(partitions: dg.MultiPartitionsDefinition) -> list[dg.AssetsDefinition]:
    """One table per setting, and the summary of all settings."""

    @atlas_asset(
        "target_checker",
        partitions=partitions,
        ins={"object_masks": dg.AssetIn(metadata={"part": "universal"})},
        kinds={"polars"},
    )
    def target_checker(
        context: dg.AssetExecutionContext,
        object_masks: dict[str, Any],
        checker_masks: dict[str, Any],
    ) -> dict[str, Any]:
        tables = {}
        for key in context.partition_keys:
            universal = object_masks[key].universal
            checker = with_universal(context, checker_masks[key].masks, universal)
            tables[key] = decomposition.target_checker(universal, checker)
        for key, table in tables.items():
            context.add_asset_metadata(_mean_fractions(key, table), "target_checker", key)
        return tables

    @atlas_asset("summary", kinds={"polars"})
    def summary(target_checker: dict[str, Any]) -> pl.DataFrame:
        return decomposition.summary(
            {setting_of(key): table for key, table in target_checker.items()}
        )

    return [target_checker, summary]


def _mean_fractions(key: str, table: pl.DataFrame) -> dict[str, float]:
    """The means of one partition, as numbers that the UI plots over partitions."""
    means = decomposition.summary({setting_of(key): table}).row(0, named=True)
    named = {
        "mean_ast_concept_fraction": means["ast_concept_fraction"],
        "mean_builtin_concept_fraction": means["blt_concept_fraction"],
        "mean_ast_token_fraction": means["ast_token_fraction"],
        "mean_builtin_token_fraction": means["blt_token_fraction"],
    }
    # a cut grid may have no AST node, or no builtin, with a keyword
    return {name: mean for name, mean in named.items() if mean is not None}
