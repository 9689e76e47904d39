"""What is published loads: the real `datasets`, on the staged folder and on the Hub."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from atlas_assets.atlas.open import open_with_model
from atlas_assets.errors import ArtifactError, HubUnavailableError
from atlas_assets.hub import verify
from atlas_assets.hub.manifest import manifest_of
from atlas_assets.hub.publish import publish_stage
from atlas_assets.hub.staging import Stage, staged
from atlas_assets.hub.verify import DatasetsVerifier, faults_of
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets_tests.hub.built_atlas import REPO, opened
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.publishing import Trusting

_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def whole(built_folder: Path) -> Any:
    """Every artifact there is, staged."""
    with opened(built_folder) as built:
        settings = built.settings()
    with staged(open_with_model(settings), settings) as stage:
        assert stage.left_out == ()
        yield stage


def test_every_table_loads_and_the_quickstart_runs(
    whole: Stage, hub: LocalHub, tmp_path: Path
) -> None:
    """Uploaded only after it loaded from the folder; loaded again at the commit; then tagged."""
    published = publish_stage(whole, REPO, hub.client(), verifier=DatasetsVerifier())
    assert published.committed and published.tagged
    shown = {file.asset for file in whole.manifest.files if file.table is not None}
    assert shown == {key for key, artifact in ARTIFACTS.items() if artifact.schema is not None}
    # the check at the commit asked for that very commit
    loaded = hub.calls("HEAD", r"/resolve/.*\.parquet") + hub.calls("GET", r"/resolve/.*\.parquet")
    assert loaded and all(f"/{published.sha}/" in call.path for call in loaded)
    # in a process of its own, with caches of its own
    assert "datasets" not in sys.modules
    assert not (tmp_path / "hf_home" / "datasets").exists()
    card = hub.files(REPO)["README.md"].decode()
    program = "\n".join(_BLOCK.findall(card))
    assert "load_dataset" in program and "h5py" in program
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=hub.environment(tmp_path / "user", HF_HUB_DISABLE_PROGRESS_BARS="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "['epsilon', 'consistency', 'n_testable'" in done.stdout and "ast__For" in done.stdout


@pytest.mark.parametrize("wrong", ["another table", "no parquet"])
def test_a_table_that_does_not_load_is_not_uploaded(
    few: Stage, hub: LocalHub, tmp_path: Path, wrong: str
) -> None:
    broken = _copied(few, tmp_path / "stage")
    path = broken.file("viewer/summary.parquet")
    if wrong == "another table":
        pl.DataFrame({"a": [1]}).write_parquet(path)
    else:
        path.write_bytes(b"no parquet")
    with pytest.raises(ArtifactError, match="would not load") as refused:
        publish_stage(broken, REPO, hub.client(), verifier=DatasetsVerifier())
    assert "summary" in str(refused.value.found)
    assert not hub.calls("POST", "/commit/") and not hub.calls("POST", "/preupload/")


def test_a_report_is_held_against_every_promise(stage: Stage) -> None:
    report = _report(stage)
    assert faults_of(report, stage.manifest, stage) == []
    for change, told in (
        (lambda r: r["configs"].remove("summary"), "configurations"),
        (lambda r: r.update(default="masks"), "the default is 'masks'"),
        (lambda r: r["tables"]["summary"]["full"].update(rows=3), "summary, full: rows 3, not 4"),
        (lambda r: r["tables"]["summary"]["streaming"].update(digest="0"), "streaming: digest"),
        (
            lambda r: r["tables"]["masks"]["full"]["columns"].update(size="int32"),
            "masks, full: col",
        ),
        (
            lambda r: r["tables"]["masks"]["full"].update(splits=["a", "train"]),
            "masks, full: split",
        ),
        (lambda r: r["tables"].pop("masks"), "masks, full: splits None"),
    ):
        changed = copy.deepcopy(report)
        change(changed)
        assert any(told in fault for fault in faults_of(changed, stage.manifest, stage)), told


def test_a_hub_that_fails_while_tables_are_checked(few: Stage, hub: LocalHub) -> None:
    """The commit is there and not tagged; publishing again checks, tags, and commits nothing."""
    hub.fail("GET", r"/_cdn/", status=404, times=10_000)
    hub.fail("HEAD", r"\.parquet", status=404, times=10_000)
    with pytest.raises(HubUnavailableError, match="could not be loaded") as failed:
        publish_stage(few, REPO, hub.client(), verifier=_OnTheHub())
    assert hub.token not in str(failed.value)
    assert len(hub.commits(REPO)) == 2 and not hub.repos["dataset", REPO].tags
    hub.faults.clear()
    again = publish_stage(few, REPO, hub.client(), verifier=Trusting())
    assert not again.committed and again.tagged and len(hub.commits(REPO)) == 2


def test_offline_mode_of_other_libraries_is_not_the_checks(
    few: Stage, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "1")
    published = publish_stage(few, REPO, hub.client(), verifier=DatasetsVerifier())
    assert published.committed and published.tagged and published.loaded == 4


@pytest.mark.parametrize("asset", ["object_masks", "figure_sweep"])
def test_a_part_without_tables(whole: Stage, hub: LocalHub, asset: str) -> None:
    """Nothing is to be loaded; beside tables that are there, those are."""
    part = _part(whole, asset)
    published = publish_stage(part, REPO, hub.client(), verifier=DatasetsVerifier())
    assert published.committed and published.tagged and published.loaded == 0
    assert set(hub.files(REPO)) == {*part.manifest.paths, "atlas.json", "README.md"}
    summary = _part(whole, "summary")
    published = publish_stage(summary, REPO, hub.client(), verifier=DatasetsVerifier())
    assert published.committed and published.tagged and published.loaded == 1
    assert {file.asset for file in published.plan.manifest.files} == {asset, "summary"}


def test_what_cannot_be_published_makes_no_repository(
    few: Stage, hub: LocalHub, tmp_path: Path
) -> None:
    broken = _copied(few, tmp_path / "stage")
    broken.file("viewer/summary.parquet").write_bytes(b"no parquet")
    with pytest.raises(ArtifactError, match="would not load"):
        publish_stage(broken, REPO, hub.client(), verifier=DatasetsVerifier())
    assert hub.repos == {} and {call.method for call in hub.calls()} == {"GET"}


def test_a_check_that_does_not_end_is_ended(
    few: Stage, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "_LIMIT", 1.0)
    with pytest.raises(HubUnavailableError, match="did not come to an end"):
        DatasetsVerifier().folder(few, REPO)
    assert hub.calls() == []


def test_without_datasets_publishing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    with pytest.raises(ArtifactError, match="needs the package datasets") as refused:
        DatasetsVerifier().require()
    assert "[publish]" in str(refused.value.remedy)


class _OnTheHub(DatasetsVerifier):
    """The check of the commit alone."""

    def folder(self, stage: Stage, repo_id: str) -> None:
        del stage, repo_id


def _part(stage: Stage, asset: str) -> Stage:
    """One asset of it."""
    files = [file for file in stage.manifest.files if file.asset == asset]
    manifest = manifest_of(files, stage.manifest.facts, stage.manifest.claims)
    rows = {config: rows for config, rows in stage.rows.items() if config == asset}
    return replace(stage, manifest=manifest, rows=rows)


def _copied(stage: Stage, folder: Path) -> Stage:
    for path in stage.manifest.paths:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(stage.file(path).read_bytes())
    return replace(stage, folder=folder)


def _report(stage: Stage) -> dict[str, Any]:
    """What `datasets` says when all is well."""
    tables: dict[str, Any] = {}
    for file in stage.manifest.files:
        if file.table is not None:
            found = tables.setdefault(file.table.config, {"rows": 0, "splits": ["train"]})
            found["rows"] += file.table.rows
            found["columns"] = {column.name: column.dtype for column in file.table.columns}
            found["digest"] = stage.rows[file.table.config]
    both = {name: {"full": found, "streaming": dict(found)} for name, found in tables.items()}
    return {"configs": list(tables), "default": "summary", "tables": copy.deepcopy(both)}
