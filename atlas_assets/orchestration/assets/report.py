"""Stage 17: the atlas on one page."""

from typing import Any

import dagster as dg

from atlas_assets.orchestration.assets.declare import atlas_asset
from atlas_assets.orchestration.assets.one_setting import skipped_under
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.storage.store import AtlasStore


def report_assets(settings: AtlasSettings) -> list[dg.AssetsDefinition]:
    """``atlas_report``, made from whatever of the atlas there is.

    It does not wait for what is skipped in the sweep in force: Dagster would skip it as well.
    """
    skipped = skipped_under(settings)
    deps = [key for key in ARTIFACTS["atlas_report"].inputs if key not in skipped]

    @atlas_asset("atlas_report", deps=deps, kinds={"jinja"})
    def atlas_report(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        store: dg.ResourceParam[AtlasStore],
    ) -> str:
        from atlas_assets.soundness.evaluate import evaluate_claims
        from atlas_assets.soundness.gather import gather
        from atlas_assets.stages.report.page import Page, render

        page: Page = gather(store, settings, evaluate_claims(store, settings))
        context.add_output_metadata(_counts(page.verdicts, len(page.figures), len(page.missing)))
        return render(page)

    return [atlas_report]


def _counts(
    verdicts: tuple[tuple[str, int], ...], n_figures: int, n_missing: int
) -> dict[str, Any]:
    claims = {f"claims: {verdict}": number for verdict, number in verdicts}
    return {**claims, "n_figures": n_figures, "n_missing_files": n_missing}
