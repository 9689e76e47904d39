"""The artifacts of stage 17: the claims as a document, and the page to explore."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from atlas_assets.stages.artifact import Artifact, Layout
from atlas_assets.stages.making import Making
from atlas_assets.stages.report.explorer import explorer_data
from atlas_assets.stages.report.markdown import claims_markdown
from atlas_assets.stages.report.page import render
from atlas_assets.stages.report.published_claims import CLAIMS


def _claims_report(making: Making) -> str:
    results = making.claims()
    text = claims_markdown(results)
    verdicts = Counter(result.verdict.replace(",", "") for result in results)
    making.note(preview=text, claims=len(results), **verdicts)
    return text


def _atlas_report(making: Making) -> str:
    page = making.page()
    data = explorer_data(making, page)
    making.note(
        **{f"claims: {verdict}": number for verdict, number in page.verdicts},
        n_concepts=len(data["concepts"]),
        n_missing_files=len(page.missing),
    )
    return render(page, data)


def claims_report(artifacts: Sequence[Artifact]) -> Artifact:
    """Declare the document of the claims on ``artifacts``, in the order of the pipeline.

    It reads what the claims speak of, and what that is made of.
    """
    asserted = {claim.asset for claim in CLAIMS}
    evidence = asserted.union(*(one.inputs for one in artifacts if one.key in asserted))
    return Artifact(
        key="claims_report",
        title="Claims",
        filename="claims.md",
        content=Layout.TEXT,
        group="stage_17_report",
        description="The paper's claims, one by one: what is expected of its model, what this "
        "atlas shows, and whether the paper claims it of this atlas at all.",
        compute=_claims_report,
        code_version="3",
        inputs=tuple(artifact.key for artifact in artifacts if artifact.key in evidence),
        inputs_may_be_absent=True,
    )


def atlas_report(artifacts: Sequence[Artifact]) -> Artifact:
    """Declare the page on ``artifacts``: all that it shows, and all that the claims read."""
    return Artifact(
        key="atlas_report",
        title="Explorer",
        filename="atlas_explorer.html",
        content=Layout.TEXT,
        group="stage_17_report",
        description="The whole atlas on one page that opens in any browser, offline: what was "
        "found, every concept and neuron at every setting and by every definition, the paper's "
        "claims against what this atlas shows, tables, and where every file comes from.",
        compute=_atlas_report,
        inputs=tuple(artifact.key for artifact in artifacts),
        inputs_may_be_absent=True,
        code_version="6",
    )
