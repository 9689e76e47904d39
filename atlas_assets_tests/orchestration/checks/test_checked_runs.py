"""Checks inside real runs: the sweep in one run, cell by cell, and with a file that goes bad."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from atlas_assets.definitions import build_definitions, build_resources
from atlas_assets.orchestration.checks.claims import check_name
from atlas_assets.orchestration.partitions import partition_key, range_tags
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.inspection import checks_of
from atlas_assets.stages.catalog import ARTIFACTS, ON_DEMAND
from atlas_assets.stages.report.published_claims import CLAIMS
from atlas_assets.stages.setting import REFERENCE, Setting
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.orchestration.tiny_atlas import failure_text, materialize, run_job
from atlas_assets_tests.soundness import sound_atlas

PARTITIONED = ("object_masks", "checker_masks", "target_checker")
GIVEN = ("object_prompts", "checker_prompts", "token_checker_prompts", "object_activations")
GIVEN += ("checker_activations", "token_checker_masks")


@pytest.fixture
def settings(sound: Path, tmp_path: Path) -> AtlasSettings:
    """Prompts and activations are there, and nothing that follows from them."""
    data = shutil.copytree(sound, tmp_path / "data")
    store: AtlasStore = build_resources(sound_atlas.settings_in(data))["store"]
    for key, artifact in ARTIFACTS.items():
        if key not in GIVEN:
            for setting in store.sweep if artifact.partitioned else (None,):
                Path(str(store.path(key, setting))).unlink(missing_ok=True)
    return sound_atlas.settings_in(data, permutations=10)


def going_bad(monkeypatch: pytest.MonkeyPatch, key: str, at: Setting) -> None:
    """Every write of that file leaves its last bytes off."""
    write = AtlasStore.write

    def write_badly(self: AtlasStore, name: str, value: Any, setting=None, **rest: Any) -> Any:
        written = write(self, name, value, setting, **rest)
        if (name, setting) == (key, at):
            path = Path(str(written.path))
            path.write_bytes(path.read_bytes()[:-20])
        return written

    monkeypatch.setattr(AtlasStore, "write", write_badly)


def run_checked(settings: AtlasSettings, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """What the job ``sweep`` makes, all settings in one run, with the checks of all of it."""
    definitions = build_definitions(settings)
    sweep = definitions.resolve_job_def("sweep")
    keys = [key.to_user_string() for key in sweep.asset_layer.executable_asset_keys]
    job = dg.define_asset_job("checked", dg.AssetSelection.assets(*keys), run_tags=sweep.run_tags)
    return (
        dg.Definitions(
            assets=definitions.assets,
            asset_checks=definitions.asset_checks,
            resources=definitions.resources,
            executor=dg.in_process_executor,
            jobs=[job],
        )
        .resolve_job_def("checked")
        .execute_in_process(instance=instance, raise_on_error=False)
    )


def made(result: dg.ExecuteInProcessResult) -> set[str]:
    events = result.get_asset_materialization_events()
    return {event.asset_key.to_user_string() for event in events if event.asset_key}


def checks_seen(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str, str | None], bool]:
    return {
        (found.asset_key.to_user_string(), found.check_name, found.partition): found.passed
        for found in result.get_asset_check_evaluations()
    }


def test_the_job_of_the_whole_atlas_has_every_check(settings: AtlasSettings) -> None:
    definitions = build_definitions(settings)
    checks = {found.op.name for found in definitions.asset_checks or []}
    # a run of Dagster's has partitions of one space, which here is the sweep: circuits are checked
    # in a run within it. What is made on demand is checked by the job that makes it
    apart = {f"{key}_integrity" for key in ("circuits", *ON_DEMAND)}
    assert checks - apart <= set(definitions.resolve_job_def("atlas").graph.node_dict)
    assert len(checks) > len(ARTIFACTS)


def test_one_run_over_the_whole_sweep_checks_every_partition(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    result = run_checked(settings, instance)
    assert result.success, failure_text(result)
    seen = checks_seen(result)
    assert all(seen.values())
    keys = [str(partition_key(setting)) for setting in settings.sweep]
    for key in made(result):
        for partition in keys if key in PARTITIONED else [None]:
            for check in checks_of(key):
                assert (key, check.name, partition) in seen
    for claim in CLAIMS:
        assert ((claim.asset, check_name(claim.id), None) in seen) == (claim.asset in made(result))
    targets = {
        (found.check_name, found.partition): found.target_materialization_data
        for found in result.get_asset_check_evaluations()
        if found.asset_key == dg.AssetKey("object_masks") and found.partition
    }
    for (_, partition), target in targets.items():
        (record,) = instance.fetch_materializations(
            dg.AssetRecordsFilter(dg.AssetKey("object_masks"), asset_partitions=[partition]),
            limit=1,
        ).records
        assert target is not None
        assert (target.storage_id, target.run_id) == (record.storage_id, result.run_id)


def test_the_reports_job_writes_the_claims(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    assert run_job(settings, instance, "sweep").success
    result = materialize(settings, instance, ["claims_report"])
    assert result.success, failure_text(result)
    store: AtlasStore = build_resources(settings)["store"]
    document = store.read("claims_report")
    for claim in CLAIMS:
        assert f"| `{claim.id}` |" in document
    assert "observed, not claimed" in document
    assert str(settings.data_dir) not in document
    assert store.stale_reason("claims_report") is None
    stored = store.provenance("claims_report")
    assert stored is not None
    assert {"masks", "summary", "object_prompts"} <= stored.inputs.keys()
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["preview"].value == document
    assert event.materialization.metadata["claims"].value == len(CLAIMS)


@pytest.mark.parametrize("key", PARTITIONED)
def test_a_file_that_goes_bad_stops_the_run_before_anything_follows_from_it(
    key: str,
    settings: AtlasSettings,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    going_bad(monkeypatch, key, REFERENCE)
    result = run_checked(settings, instance)
    assert not result.success
    assert "blocking asset check" in failure_text(result)
    seen = checks_seen(result)
    bad = str(partition_key(REFERENCE))
    for setting in settings.sweep:
        partition = str(partition_key(setting))
        assert seen[key, "schema", partition] is (partition != bad)
    stopped = {"summary"} if key == "target_checker" else {"masks", "target_checker", "summary"}
    assert made(result).isdisjoint(stopped)


def test_a_file_that_goes_bad_while_a_sweep_is_completed_stops_it(
    settings: AtlasSettings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that completes a sweep has no checks, as the job ``sweep`` has none; reading has."""
    result = materialize(settings, instance, ["masks"])
    assert result.success, failure_text(result)
    store: AtlasStore = build_resources(settings)["store"]
    Path(str(store.path("object_masks", REFERENCE))).unlink()
    Path(str(store.path("masks"))).unlink()
    going_bad(monkeypatch, "object_masks", REFERENCE)
    result = materialize(settings, instance, ["masks"])
    assert not result.success
    assert not store.exists("masks")


@pytest.mark.parametrize(
    ("key", "check"),
    [
        ("object_masks", "schema"),
        ("object_masks", "monotone_sweep"),
        ("target_checker", "adds_up"),
        ("summary", "schema"),
        ("summary", check_name(next(claim.id for claim in CLAIMS if claim.asset == "summary"))),
    ],
)
@pytest.mark.parametrize("at", [None, REFERENCE])
def test_a_check_runs_alone_as_the_ui_begins_it(
    key: str, check: str, at: Setting | None, sound: Path, instance: dg.DagsterInstance
) -> None:
    """At the partition that the run names; at all of them where it names none."""
    settings = sound_atlas.settings_in(sound)
    whole = build_definitions(settings)
    alone = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey(key), check))
    result = (
        dg.Definitions(
            assets=whole.assets,
            asset_checks=whole.asset_checks,
            resources=whole.resources,
            executor=dg.in_process_executor,
            jobs=[dg.define_asset_job("alone", alone, run_tags=range_tags(at, at) if at else {})],
        )
        .resolve_job_def("alone")
        .execute_in_process(instance=instance, raise_on_error=False)
    )
    assert result.success, failure_text(result)
    settings_checked = [at] if at else settings.sweep
    partitions = [str(partition_key(setting)) for setting in settings_checked]
    expected = partitions if key in PARTITIONED else [None]
    assert set(checks_seen(result)) == {(key, check, partition) for partition in expected}
    assert made(result) == set()
