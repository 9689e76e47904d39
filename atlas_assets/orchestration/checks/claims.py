"""The paper's claims as asset checks, each on the artifact it speaks of.

They never block: a broken claim is a finding about a model, not a fault of the files.
"""

import math
from collections.abc import Iterator
from typing import Any

import dagster as dg

from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.evaluate import evaluations
from atlas_assets.soundness.evidence import StoreEvidence
from atlas_assets.stages.report.claims import Claim, ClaimResult
from atlas_assets.stages.report.published_claims import CLAIMS, PAPER_MODEL
from atlas_assets.storage.store import AtlasStore


def claim_checks() -> list[dg.AssetChecksDefinition]:
    """Return the claims as checks, a step for each artifact that any claim speaks of."""
    by_asset: dict[str, list[Claim]] = {}
    for claim in CLAIMS:
        by_asset.setdefault(claim.asset, []).append(claim)
    return [_checks(asset, claims) for asset, claims in by_asset.items()]


def check_name(claim_id: str) -> str:
    """``survival-eps0.5_cons0.8`` → ``claim_survival_eps0_5_cons0_8``: letters and digits only."""
    return "claim_" + "".join(c if c.isalnum() else "_" for c in claim_id)


def _checks(asset: str, claims: list[Claim]) -> dg.AssetChecksDefinition:
    specs = [
        dg.AssetCheckSpec(
            check_name(claim.id),
            asset=asset,
            description=f"{claim.section}: {claim.statement}. Computed: {claim.computed}.",
        )
        for claim in claims
    ]

    @dg.multi_asset_check(name=f"{asset}_claims", specs=specs, can_subset=True)
    def evaluate(
        context: dg.AssetCheckExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        store: dg.ResourceParam[AtlasStore],
    ) -> Any:
        wanted = {key.name for key in context.selected_asset_check_keys}
        selected = [claim for claim in claims if check_name(claim.id) in wanted]
        yield from _results(evaluations(StoreEvidence(store), settings, selected), asset)

    return evaluate


def _results(results: Iterator[ClaimResult], asset: str) -> Iterator[dg.AssetCheckResult]:
    for result in results:
        broken = result.verdict in ("broken", "cannot be evaluated")
        warn = result.verdict == "cannot be evaluated"
        yield dg.AssetCheckResult(
            passed=not broken,
            asset_key=asset,
            check_name=check_name(result.id),
            description=describe(result),
            metadata=_metadata(result),
            severity=dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR,
        )


def describe(result: ClaimResult) -> str:
    """Return the verdict on a claim in one sentence."""
    if result.holds is None:
        return f"{result.verdict}: {result.note}"
    aside = f" ({result.note})" if result.note else ""
    if not result.about_this_atlas:
        told = f"{result.observed} in {result.model}; {PAPER_MODEL}: {result.expected}"
        return f"{result.verdict}: {told}; {result.as_in_paper}{aside}"
    return f"{result.verdict}: observed {result.observed}, expected {result.expected}{aside}"


def _metadata(result: ClaimResult) -> dict[str, Any]:
    told: dict[str, Any] = {
        "statement": result.statement,
        "section": result.section,
        "expected": result.expected,
        "observed": result.observed or "nothing",
        "tolerance": result.tolerance or "exact",
        "model": result.model,
        "readout": result.readout,
        "setting": result.setting or "none",
        "about_this_atlas": result.about_this_atlas,
        "verdict": result.verdict,
        "computed": result.computed,
        "files": ", ".join(result.sources) or "none",
    }
    if result.note:
        told["note"] = result.note
    value = result.value
    if isinstance(value, int | float) and math.isfinite(value):
        # a number of its own, so that the UI plots it over runs
        told["observed_value"] = value
    return told
