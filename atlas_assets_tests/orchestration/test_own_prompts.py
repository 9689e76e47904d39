"""An atlas of own prompts, from the file to the report: the worked example of the documentation."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import h5py
import numpy as np
import polars as pl
import pytest
import yaml

from atlas_assets import io
from atlas_assets.atlas.open import open_with_model
from atlas_assets.atlas.status import survey
from atlas_assets.errors import ArtifactError
from atlas_assets.hub.card import render
from atlas_assets.hub.staging import staged
from atlas_assets.orchestration.automation.model_watch import poll
from atlas_assets.orchestration.automation.plan import Verdicts, plan_of
from atlas_assets.orchestration.checks.integrity import integrity_checks
from atlas_assets.orchestration.partitions import partitions_of
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.catalog import definitions_of, skipped_under
from atlas_assets_tests.orchestration.tiny_atlas import failure_text, run_job
from atlas_assets_tests.stages.report.reading import data_of

PAGE = Path(__file__).parents[2] / "docs" / "own_prompts.md"
#: what rests on keywords
NOT_APPLICABLE = {
    "token_checker_prompts",
    "token_checker_masks",
    "token_independence_detail",
    "token_independence_summary",
    "token_independence_no_keyword",
}
CONCEPTS = ["own__LIMIT", "own__ORDER BY", "own__WHERE"]


def example() -> str:
    found = re.search(r"```csv\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1]


def settings_of(stimuli: Path) -> AtlasSettings:
    return AtlasSettings.build(
        data_dir=str(stimuli.parent / "data"),
        stimuli=str(stimuli),
        device="cpu",
        epsilons="0.001,0.5",
        consistencies="0.8",
        permutations=3,
    )


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> AtlasSettings:
    stimuli = tmp_path_factory.mktemp("own") / "sql.csv"
    stimuli.write_text(example(), encoding="utf-8")
    return settings_of(stimuli)


@pytest.fixture(scope="module")
def result(settings: AtlasSettings, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    result = run_job(settings, instance)
    assert result.success, failure_text(result)
    return result


@pytest.fixture(scope="module")
def folder(result: dg.ExecuteInProcessResult, settings: AtlasSettings) -> Path:
    return Path(settings.data_dir) / settings.atlas_name


def test_what_is_about_the_papers_inventory_is_not_applicable_and_fails_nothing(
    result: dg.ExecuteInProcessResult, folder: Path
) -> None:
    made = {e.asset_key.to_user_string() for e in result.get_asset_materialization_events()}
    assert made.isdisjoint(NOT_APPLICABLE)
    assert {"masks", "summary", "figure_sweep", "atlas_report", "claims_report"} <= made
    told = {}
    for check in result.get_asset_check_evaluations():
        assert check.passed, (check.asset_key, check.check_name, check.description)
        told[check.asset_key.to_user_string(), check.check_name] = str(check.description)
    for key in (("object_prompts", "prompts_parse"), ("summary", "claim_keywords_testable")):
        assert told[key].startswith("not applicable: ")
    assert "Not applicable" in (folder / "claims.md").read_text(encoding="utf-8")
    report = data_of((folder / "atlas_explorer.html").read_text(encoding="utf-8"))
    assert report["own"]
    assert {claim["verdict"] for claim in report["claims"]} == {"not applicable"}
    (grid,) = (value for name, value in report["facts"] if name == "grid of prompts")
    assert grid.startswith("own prompts, sql.csv, SHA-256")
    assert report["concepts"] == ["own__LIMIT", "own__ORDER BY", "own__WHERE"]
    assert report["prompts"]["of"].keys() == set(report["concepts"])
    told = [finding["text"] for finding in report["findings"]]
    assert "keyword" not in json.dumps([told, report["sections"]])


def test_nothing_waits_for_checks_of_what_is_not_made(settings: AtlasSettings) -> None:
    """Dagster warns of a check that blocks and has no result."""
    skipped = skipped_under(settings)
    assert skipped.keys() >= NOT_APPLICABLE
    space = partitions_of(settings.sweep, definitions_of(settings))
    specs = [spec for each in integrity_checks(settings, space) for spec in each.check_specs]
    assert all(spec.blocking != (spec.asset_key.to_user_string() in skipped) for spec in specs)


def test_masks_follow_from_the_prompts_of_the_file(folder: Path) -> None:
    """The circuit of a concept, with plain h5py, is what the masks of its units share."""
    prompts = io.load_prompts(data_root=folder)
    where = prompts.filter(concept="WHERE", unit="users")["prompt_text"]
    assert where[0] == "SELECT name FROM users WHERE age > 30"
    assert prompts.select("concept", "unit").n_unique() == 6
    with h5py.File(folder / "13_object_masks_eps0.5_cons0.8.h5") as file:
        assert file["metadata/own_concepts"].asstr()[:].tolist() == ["LIMIT", "ORDER BY", "WHERE"]
        universal = file["universal_masks/layer_3/own__WHERE"][:]
        pairs = file["pair_masks/layer_3"]
        of_units = [pairs[f"own__WHERE__{unit}"][:] for unit in ("orders", "users")]
        assert file["metrics/jaccard_own_matrix"].shape == (3, 3)
    assert universal.any()
    np.testing.assert_array_equal(universal, np.logical_and(*of_units))


def test_the_loaders_read_all_tables(folder: Path) -> None:
    assert list(io.load_universal_masks(data_root=folder)) == CONCEPTS
    assert ("ORDER BY", "users") in io.load_pair_masks(data_root=folder)
    assert io.load_concept_inventory(data_root=folder) == (["LIMIT", "ORDER BY", "WHERE"], [])
    summary = io.load_summary(data_root=folder)
    assert summary["n_checked"].to_list() == [2, 2]
    targets = io.load_target_checker(data_root=folder)
    assert targets["target"].to_list() == CONCEPTS[1:]
    a, b = (
        io.load_universal_masks_as_arrays(stage=stage, data_root=folder)["own__WHERE"][0]
        for stage in ("object", "checker")
    )
    co = int((a & ~b).sum())
    assert targets["L0"][1].startswith(f"{co} / ")
    with pytest.raises(ArtifactError, match="not applicable: own prompts have no keywords"):
        io.load_token_independence(data_root=folder)
    entangled = pl.read_csv(folder / "compositionality.csv")
    assert entangled.columns[:3] == ["concept", "unit", "layer"]
    assert entangled.height == 6 * 4


def test_the_card_speaks_of_own_prompts(settings: AtlasSettings, folder: Path) -> None:
    parts = ("object_prompts", "summary", "compositionality", "token_checker_prompts")
    cells = {(key, None) for key in parts}
    with staged(open_with_model(settings), settings, cells) as stage:
        card = render("", stage.manifest, "someone/sql")
    assert not stage.left_out
    assert folder.is_dir()
    front = yaml.safe_load(card.split("---")[1])
    assert "license" not in front
    assert "python" not in front["tags"]
    assert "Not applicable: the paper's claims" in card
    assert "publisher's own prompts, `sql.csv`" in card
    assert "unit of the concept: its universal mask" in card
    assert "Rows are unique by `concept`, `unit`, `layer`." in card
    assert "| AST" not in card


def test_other_rows_make_the_atlas_stale_and_another_file_is_another_atlas(
    settings: AtlasSettings, folder: Path, instance: dg.DagsterInstance
) -> None:
    def states() -> dict[str, str]:
        found = survey(open_with_model(settings), skipped=skipped_under(settings))
        return {state.artifact: state.state for state in found}

    assert set(states().values()) == {"fresh", "not applicable"}
    assert "nothing has changed" in poll(settings, instance)
    stimuli = Path(str(settings.stimuli))
    stimuli.write_text(example().replace("LIMIT 20", "LIMIT 30"), encoding="utf-8")
    assert set(states().values()) == {"stale", "not applicable"}
    assert "new to Dagster" in poll(settings, instance)
    plan = plan_of(settings, Verdicts())
    assert {"object_prompts", "checker_prompts", "atlas_report"} <= set(plan.assets)
    assert NOT_APPLICABLE.isdisjoint(plan.assets)
    assert not plan.obstacles
    other = stimuli.with_name("other.csv")
    other.write_text(example(), encoding="utf-8")
    assert settings_of(other).atlas_name != settings.atlas_name
    intruder = settings_of(other).model_copy(update={"name": settings.atlas_name})
    refused = run_job(intruder, instance)
    assert not refused.success
    assert "grid.stimuli = sql.csv" in failure_text(refused)
    assert "ATLAS_STIMULI" in failure_text(refused)


@pytest.mark.slow
def test_without_checker_prompts_there_is_an_atlas_without_decomposition(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stimuli = tmp_path / "слова.jsonl"
    rows = [
        {
            "concept": concept,
            "unit": unit,
            "prompt_text": f"{unit} {concept} {number}",
            "start": len(unit) + 1,
            "end": len(unit) + 1 + len(concept),
        }
        for concept in ("если", "如果")  # no font of figures has the second
        for unit in ("да", "нет")
        for number in range(3)
    ]
    stimuli.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    settings = settings_of(stimuli)
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_job(settings, instance)
        again = run_job(settings, instance)
    assert result.success, failure_text(result)
    assert again.success, failure_text(again)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    states = {
        s.artifact: s for s in survey(open_with_model(settings), skipped=skipped_under(settings))
    }
    for key in ("checker_prompts", "checker_masks", "target_checker", "summary", "figure_sweep"):
        assert states[key].state == "not applicable"
        assert states[key].reason == "the own prompts hold no checker prompts"
    assert states["masks"].state == states["atlas_report"].state == "fresh"
    folder = Path(settings.data_dir) / settings.atlas_name
    positions = pl.read_parquet(folder / "12_position_activations.parquet")
    assert positions["pair"].unique().sort()[0] == "own__если__да"
    assert list(io.load_universal_masks(data_root=folder)) == ["own__если", "own__如果"]
    page = (folder / "atlas_explorer.html").read_text(encoding="utf-8")
    assert data_of(page)["missing"] == []
