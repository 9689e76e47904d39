"""What is read off the universal masks: modularity, token independence, the standalone file.

Each of these speaks of one setting and is skipped where the sweep lacks it.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from atlas_assets.errors import ProvenanceError
from atlas_assets.orchestration.assets.checked import with_universal
from atlas_assets.orchestration.assets.declare import atlas_asset
from atlas_assets.orchestration.assets.one_setting import universal_at
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.analyses import modularity, token_independence
from atlas_assets.stages.masks import masks as science
from atlas_assets.stages.masks.masks import CheckerMasks
from atlas_assets.stages.prompts.checker_prompts import keyword_of
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.setting import REFERENCE, STANDALONE, Setting
from atlas_assets.storage.store import AtlasStore

Outputs = Iterator[dg.Output[Any]]


def downstream_assets() -> list[dg.AssetsDefinition]:
    """Modularity (§6.1), token independence, and ``universal_106x50.h5``."""
    return [*_modularity_assets(), *_token_independence_assets(), _universal_masks_asset()]


def _modularity_assets() -> list[dg.AssetsDefinition]:
    @atlas_asset("modularity_scores", output_required=False, kinds={"polars"})
    def modularity_scores(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        masks: pl.DataFrame,
    ) -> Outputs:
        for universal in universal_at(context, settings, masks, REFERENCE):
            yield dg.Output(modularity.scores(universal))

    @atlas_asset("modularity_detail", output_required=False, kinds={"polars"})
    def modularity_detail(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        masks: pl.DataFrame,
    ) -> Outputs:
        for universal in universal_at(context, settings, masks, REFERENCE):
            yield dg.Output(modularity.detail(universal))

    return [modularity_scores, modularity_detail]


def _token_independence_assets() -> list[dg.AssetsDefinition]:
    @atlas_asset("token_independence_detail", output_required=False, kinds={"polars"})
    def token_independence_detail(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        store: dg.ResourceParam[AtlasStore],
        masks: pl.DataFrame,
        token_checker_masks: CheckerMasks,
    ) -> Outputs:
        keywords = keyword_of(load_stimuli())
        at = token_checker_masks.setting
        _require_own_setting(at, settings, store)
        for universal in universal_at(context, settings, masks, at):
            checker = with_universal(context, token_checker_masks.masks, universal)
            yield dg.Output(token_independence.detail(universal, checker, keywords))

    @atlas_asset("token_independence_summary", kinds={"polars"})
    def token_independence_summary(token_independence_detail: pl.DataFrame) -> pl.DataFrame:
        return token_independence.summary(token_independence_detail)

    @atlas_asset("token_independence_no_keyword", kinds={"polars"})
    def token_independence_no_keyword(
        settings: dg.ResourceParam[AtlasSettings], masks: pl.DataFrame
    ) -> pl.DataFrame:
        # which concepts there are is the same at every setting
        universal = science.universal_from_table(masks, settings.sweep[0])
        return token_independence.no_keyword(universal, keyword_of(load_stimuli()))

    return [token_independence_detail, token_independence_summary, token_independence_no_keyword]


def _require_own_setting(at: Setting, settings: AtlasSettings, store: AtlasStore) -> None:
    """A file of the release says at which setting it is; one of ours is at the one in force.

    Raises:
        ProvenanceError: ours is at another.
    """
    made_here = store.provenance("token_checker_masks") is not None
    if made_here and at != settings.token_checker:
        raise ProvenanceError(
            "token_checker_masks was made at another setting than the one in force",
            where=str(store.path("token_checker_masks")),
            expected=f"{settings.token_checker} (ATLAS_TOKEN_CHECKER_SETTING)",
            found=str(at),
            remedy="materialise token_checker_masks again, set ATLAS_TOKEN_CHECKER_SETTING back, "
            "or choose another ATLAS_NAME",
        )


def _universal_masks_asset() -> dg.AssetsDefinition:
    @atlas_asset("universal_masks", output_required=False, kinds={"numpy"})
    def universal_masks(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        masks: pl.DataFrame,
    ) -> Outputs:
        for universal in universal_at(context, settings, masks, STANDALONE):
            yield dg.Output(universal)

    return universal_masks
