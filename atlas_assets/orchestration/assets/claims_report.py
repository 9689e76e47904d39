"""The claims of the paper against this atlas, as a document."""

from collections import Counter

import dagster as dg

from atlas_assets.orchestration.assets.declare import atlas_asset
from atlas_assets.orchestration.assets.one_setting import skipped_under
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.evaluate import evaluate_claims
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.report.markdown import claims_markdown
from atlas_assets.storage.store import AtlasStore


def claims_report_asset(settings: AtlasSettings) -> dg.AssetsDefinition:
    """``claims_report``: after everything that claims speak of and the sweep in force makes."""
    skipped = skipped_under(settings)
    made = [key for key in ARTIFACTS["claims_report"].inputs if key not in skipped]

    @atlas_asset("claims_report", deps=made)
    def claims_report(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        store: dg.ResourceParam[AtlasStore],
    ) -> str:
        results = evaluate_claims(store, settings)
        text = claims_markdown(results)
        verdicts = Counter(result.verdict for result in results)
        context.add_output_metadata(
            {
                "preview": dg.MetadataValue.md(text),
                "claims": len(results),
                **{verdict.replace(",", ""): number for verdict, number in verdicts.items()},
            }
        )
        return text

    return claims_report
