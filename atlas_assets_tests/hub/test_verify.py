"""What is published loads: the real `datasets`, on the staged folder and on the Hub."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from atlas_assets.atlas.open import open_with_model
from atlas_assets.errors import ArtifactError, HubUnavailableError
from atlas_assets.hub import verify
from atlas_assets.hub.manifest import manifest_of
from atlas_assets.hub.staging import Stage, staged
from atlas_assets.hub.verify import DatasetsVerifier, faults_of
from atlas_assets.stages.catalog import ARTIFACTS, ON_DEMAND
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.publishing import REPO, Publisher
from atlas_assets_tests.orchestration.tiny_atlas import copy_of, tiny_settings

_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture
def whole(built: Path, tmp_path: Path) -> Iterator[Stage]:
    """Every artifact there is, staged."""
    copy_of(built, tmp_path)
    settings = tiny_settings(tmp_path)
    with staged(open_with_model(settings), settings) as stage:
        assert stage.left_out == ()
        yield stage


def test_every_table_loads_and_the_quickstart_runs(
    whole: Stage, hub: LocalHub, tmp_path: Path
) -> None:
    """Uploaded only after it loaded from the folder; loaded again at the commit; then tagged."""
    published = Publisher(hub, whole).publish(verifier=DatasetsVerifier())
    assert published.committed and published.tagged
    shown = {file.asset for file in whole.manifest.files if file.table is not None}
    tables = {key for key, artifact in ARTIFACTS.items() if artifact.schema is not None}
    assert shown == tables - ON_DEMAND
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
    """Nor is a repository made for it."""
    copy_of = shutil.copytree(few.folder, tmp_path / "stage")
    broken = replace(_part(few, "summary"), folder=copy_of)
    path = broken.file("viewer/summary.parquet")
    if wrong == "another table":
        pl.DataFrame({"a": [1]}).write_parquet(path)
    else:
        path.write_bytes(b"no parquet")
    with pytest.raises(ArtifactError, match="would not load") as refused:
        Publisher(hub, broken).publish(verifier=DatasetsVerifier())
    assert "summary" in str(refused.value.found)
    assert hub.repos == {} and {call.method for call in hub.calls()} == {"GET"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda r: r["tables"].pop("summary"), "configurations"),
        (lambda r: r.update(default="masks"), "the default is 'masks'"),
        (lambda r: r["tables"]["summary"]["full"].update(rows=3), "summary, full: rows 3, not 4"),
        (lambda r: r["tables"]["summary"]["streaming"].update(digest="0"), "streaming: digest"),
        (lambda r: r["tables"]["masks"]["full"]["columns"].update(size="int32"), "full: columns"),
        (lambda r: r["tables"]["masks"]["full"].update(splits=["a", "train"]), "full: splits"),
    ],
)
def test_a_report_is_held_against_every_promise(
    stage: Stage, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    report = _report(stage)
    assert faults_of(report, stage.manifest, stage) == []
    change(report)
    assert any(told in fault for fault in faults_of(report, stage.manifest, stage))


def test_a_hub_that_fails_while_tables_are_checked(few: Stage, hub: LocalHub) -> None:
    """The commit is there and not tagged; publishing again checks, tags, and commits nothing."""
    publisher = Publisher(hub, _part(few, "summary"))
    hub.fail("GET", r"/_cdn/", status=404, times=10_000)
    hub.fail("HEAD", r"\.parquet", status=404, times=10_000)
    with pytest.raises(HubUnavailableError, match="could not be loaded") as failed:
        publisher.publish(verifier=_OnTheHub())
    assert hub.token not in str(failed.value)
    assert publisher.commits() == 1 and not publisher.tags
    hub.faults.clear()
    again = publisher.publish()
    assert not again.committed and again.tagged and publisher.commits() == 1


def test_offline_mode_of_other_libraries_is_not_the_checks(
    stage: Stage, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part without tables has nothing to be loaded; beside it, the tables are."""
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "1")
    masks, summary = _part(stage, "object_masks"), _part(stage, "summary")
    for part, loaded in ((masks, 0), (summary, 1)):
        published = Publisher(hub, part).publish(verifier=_OnTheHub())
        assert published.committed and published.tagged and published.loaded == loaded
    expected = {*masks.manifest.paths, *summary.manifest.paths, "atlas.json", "README.md"}
    assert set(hub.files(REPO)) == expected


def test_a_check_that_does_not_end_is_ended(
    few: Stage, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "_LIMIT", 0.5)
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

    def folder(self, *_: object) -> None:
        pass


def _part(stage: Stage, asset: str) -> Stage:
    """One asset of it."""
    files = [file for file in stage.manifest.files if file.asset == asset]
    manifest = manifest_of(files, stage.manifest.facts, stage.manifest.claims)
    rows = {config: rows for config, rows in stage.rows.items() if config == asset}
    return replace(stage, manifest=manifest, rows=rows)


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
    return {"default": "summary", "tables": copy.deepcopy(both)}
