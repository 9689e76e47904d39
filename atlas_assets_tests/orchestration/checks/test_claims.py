"""The claims as asset checks: what Dagster records for a release, for other models, for gaps."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from atlas_assets.definitions import build_definitions, build_resources
from atlas_assets.models.identity import ModelIdentity
from atlas_assets.orchestration.checks.claims import check_name, claim_checks
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.evaluate import evaluate_claims
from atlas_assets.soundness.subject import parts_cut
from atlas_assets.stages.masks.masks import UNIVERSAL_SCHEMA
from atlas_assets.stages.report.published_claims import CLAIMS, PAPER_MODEL
from atlas_assets.stages.setting import REFERENCE
from atlas_assets.storage.provenance import Grid, Lineage
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.orchestration.tiny_atlas import tiny_settings
from atlas_assets_tests.stages.report.paper_evidence import PaperEvidence, paper_evidence
from atlas_assets_tests.stages.report.test_published_claims import cells, changed, first_row
from atlas_assets_tests.storage.release_files import note_fetched

#: with these together, every claim is broken
RUINED = {
    "masks": ("no For", "no len", "an atomic concept elsewhere at layer 3"),
    "object_prompts": ("a pair fewer", "a prompt fewer", "not verified"),
    "checker_prompts": ("a checker prompt fewer", "a checker prompt that shows its concept"),
    "token_independence_no_keyword": ("an AST node without keyword fewer", "a builtin fewer"),
    "modularity_scores": ("another concept on top", "another concept third at p = 0"),
    "compositionality": ("more", "one pair more below 0.2"),
    "ockham_index": (
        *("an AST couple fewer", "fewer above"),
        *("similar AST nodes less similar", "similar builtins more similar"),
    ),
    "layer_profile": ("pair sizes", "ast sizes", "builtin sizes"),
}


@cache
def ruined() -> PaperEvidence:
    """Tables that follow their schema and bear out no claim."""
    evidence = paper_evidence()
    for key, changes in RUINED.items():
        for change in changes:
            evidence = changed(evidence, f"{key}: {change}")
    counts = {"n_testable": 57, "n_ast": 25, "n_builtin": 32}
    pairs = evidence.table("compositionality")
    unexplained = [round(10_000 * value) for value in pairs["entanglement_index"]]
    frames = {
        "summary": evidence.table("summary").with_columns(
            **{name: pl.lit(count, pl.Int64) for name, count in counts.items()},
            blt_concept_fraction=pl.lit(0.2),
        ),
        "token_checker_prompts": first_row("prompt_text", "for (")(
            evidence.table("token_checker_prompts").slice(1)
        ),
        "modularity_scores": evidence.table("modularity_scores").with_columns(pl.col("p=0.0") + 2),
        "compositionality": pairs.with_columns(
            unexplained=pl.Series(unexplained),
            entanglement_index=pl.Series([count / 10_000 for count in unexplained]),
        ),
        "ockham_index": evidence.table("ockham_index").with_columns(
            ockham_index=1 - pl.col("jaccard")
        ),
    }
    for key, frame in frames.items():
        evidence = evidence.changed(key, frame)
    targets = evidence.table("target_checker", REFERENCE)
    peak = cells("L2", "builtin", "9 / 1 / 0")(cells("L2", "ast", "9 / 1 / 0")(targets))
    return evidence.changed("target_checker", peak, REFERENCE)


def evaluations(
    settings: AtlasSettings, instance: dg.DagsterInstance, store: AtlasStore | None = None
) -> dict[str, dg.AssetCheckEvaluation]:
    """Runs every claim check, and nothing else, on what lies on disk."""
    definitions = build_definitions(settings)
    resources = {**build_resources(settings), **({"store": store} if store else {})}
    job = dg.Definitions(
        assets=definitions.assets,
        asset_checks=claim_checks(),
        resources=resources,
        executor=dg.in_process_executor,
        jobs=[dg.define_asset_job("claims", _only_checks(definitions))],
    ).resolve_job_def("claims")
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    assert result.success
    return {found.check_name: found for found in result.get_asset_check_evaluations()}


def _only_checks(definitions: dg.Definitions) -> dg.AssetSelection:
    return dg.AssetSelection.checks(*(check for c in claim_checks() for check in c.check_keys))


def text(evaluation: dg.AssetCheckEvaluation, key: str) -> object:
    return evaluation.metadata[key].value


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> AtlasSettings:
    settings = AtlasSettings.build(data_dir=str(tmp_path_factory.mktemp("data")), name="release")
    paper_evidence().write(Path(settings.data_dir) / "release")
    return settings


@pytest.fixture(scope="module")
def ruins(tmp_path_factory: pytest.TempPathFactory) -> AtlasSettings:
    settings = AtlasSettings.build(data_dir=str(tmp_path_factory.mktemp("data")), name="ruins")
    ruined().write(Path(settings.data_dir) / "ruins")
    return settings


def test_every_claim_holds_on_frozen_artifacts_that_bear_it_out(
    release: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    found = evaluations(release, instance)
    assert found.keys() == {check_name(claim.id) for claim in CLAIMS}
    for claim in CLAIMS:
        evaluation = found[check_name(claim.id)]
        assert evaluation.passed, claim.id
        assert evaluation.asset_key == dg.AssetKey(claim.asset)
        assert evaluation.description.startswith("holds: "), claim.id
        assert text(evaluation, "statement") == claim.statement
        assert text(evaluation, "section") == claim.section
        assert text(evaluation, "expected") == str(claim.expected)
        assert text(evaluation, "observed")
        assert text(evaluation, "setting") == (str(claim.setting) if claim.setting else "none")
        assert text(evaluation, "about_this_atlas") is True
        assert PAPER_MODEL in text(evaluation, "model")
        assert text(evaluation, "readout") == "published"
        assert text(evaluation, "tolerance") == (claim.expected.tolerance or "exact")
        assert not evaluation.blocking


def test_a_broken_claim_fails_with_severity_error(
    ruins: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    found = evaluations(ruins, instance)
    for claim in CLAIMS:
        evaluation = found[check_name(claim.id)]
        assert not evaluation.passed, claim.id
        assert evaluation.severity == dg.AssetCheckSeverity.ERROR, claim.id
        assert evaluation.description.startswith("broken: observed "), claim.id
        assert str(claim.expected) in evaluation.description
        assert text(evaluation, "observed") in evaluation.description


def lineage(model: str, **grid: object) -> Lineage:
    return Lineage(
        model=ModelIdentity(model_id=model),
        readout="last_token",
        dtype="float32",
        grid=Grid(**{"loss_threshold": 3.0, **grid}),
    )


def remade(settings: AtlasSettings, about: Lineage) -> AtlasStore:
    """The same tables with provenance, as if that model had given them."""
    store = AtlasStore(
        build_resources(settings)["store"].root.parent / "remade", lambda: about, settings.sweep
    )
    for (key, setting), frame in ruined().tables.items():
        store.write(key, frame, setting, inputs={})
    return store


@pytest.mark.parametrize(
    "about",
    [
        lineage("embedded"),
        lineage(PAPER_MODEL, ast_nodes=("For",)),
        lineage(PAPER_MODEL, variations=5),
        lineage(PAPER_MODEL, loss_threshold=2.0),
    ],
    ids=["another model", "a part of the grid", "fewer prompts", "another threshold"],
)
def test_of_another_atlas_the_same_is_observed_and_not_claimed(
    about: Lineage, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    settings = AtlasSettings.build(data_dir=str(tmp_path), name="other")
    found = evaluations(settings, instance, remade(settings, about))
    for claim in CLAIMS:
        evaluation = found[check_name(claim.id)]
        assert evaluation.passed, claim.id
        assert text(evaluation, "about_this_atlas") is False
        assert text(evaluation, "observed") != "nothing"
        if claim.grid_parts & parts_cut(about.grid):
            assert evaluation.description.startswith("not applicable: "), claim.id
            continue
        assert evaluation.description.startswith("observed, not claimed: "), claim.id
        assert text(evaluation, "observed") in evaluation.description
        assert text(evaluation, "model") == about.model.model_id


def test_of_the_papers_model_it_is_claimed_and_another_readout_is_said(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    settings = AtlasSettings.build(data_dir=str(tmp_path), name="own")
    found = evaluations(settings, instance, remade(settings, lineage(PAPER_MODEL)))
    for claim in CLAIMS:
        evaluation = found[check_name(claim.id)]
        assert not evaluation.passed, claim.id
        assert evaluation.severity == dg.AssetCheckSeverity.ERROR
        assert text(evaluation, "readout") == "last_token"
        depends = claim.row not in ("inventory", "prompts", "keywords")
        assert ("last_token; the claim's data used published" in evaluation.description) is depends


def test_missing_evidence_of_a_claimed_atlas_is_a_warning(
    release: AtlasSettings, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    """A release of which only the summary was fetched."""
    settings = AtlasSettings.build(data_dir=str(tmp_path), name="release")
    (tmp_path / "release").mkdir()
    summary = (Path(release.data_dir) / "release" / "14_summary.csv").read_bytes()
    (tmp_path / "release" / "14_summary.csv").write_bytes(summary)
    note_fetched(tmp_path / "release")
    found = evaluations(settings, instance)
    for claim in CLAIMS:
        evaluation = found[check_name(claim.id)]
        if claim.asset == "summary":
            assert evaluation.passed, claim.id
            continue
        assert not evaluation.passed, claim.id
        assert evaluation.severity == dg.AssetCheckSeverity.WARN
        assert evaluation.description.startswith("cannot be evaluated: "), claim.id
        assert "not there" in evaluation.description or "no universal" in evaluation.description
        assert text(evaluation, "observed") == "nothing"


def test_missing_evidence_of_another_atlas_passes_and_says_why(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    found = evaluations(tiny_settings(tmp_path), instance)
    assert len(found) == len(CLAIMS)
    for claim in CLAIMS:
        evaluation = found[check_name(claim.id)]
        assert evaluation.passed
        verdict = "not applicable: " if claim.grid_parts else "not evaluated: "  # all is cut
        assert evaluation.description.startswith(verdict), claim.id
        assert text(evaluation, "model") == "embedded"


def test_a_setting_that_the_sweep_lacks_is_named(release: AtlasSettings, tmp_path: Path) -> None:
    settings = AtlasSettings.build(data_dir=str(tmp_path), name="part")
    evidence = paper_evidence()
    table = evidence.table("masks").filter(pl.col("epsilon") != REFERENCE.epsilon)
    UNIVERSAL_SCHEMA.check(table, where="the masks without a setting")
    evidence.changed("masks", table).write(tmp_path / "part")
    results = {claim.id: claim for claim in evaluate_claims(build_resources(settings)["store"])}
    absent = results[f"survival-{REFERENCE.file_tag}"]
    assert absent.verdict == "cannot be evaluated"
    assert str(REFERENCE) in absent.note
    assert results["survival-eps0.1_cons0.8"].verdict == "holds"
    assert results["inventory-all"].verdict == "holds"
