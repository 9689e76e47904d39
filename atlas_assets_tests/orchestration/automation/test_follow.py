"""What is made again by itself: the sensor's ticks on an atlas that was really made.

One atlas of nine settings, of a model on a Hub of our own, is made once; each test changes a copy.
At the end Dagster's own daemon follows the model, headless.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import h5py
import pytest

from atlas_assets.atlas import versions
from atlas_assets.atlas.open import open_to_build
from atlas_assets.files.locations import file_digest
from atlas_assets.orchestration.automation import plan
from atlas_assets.orchestration.automation.follow import SENSOR as FOLLOW
from atlas_assets.orchestration.automation.follow import WHY_TAG, follow_sensor
from atlas_assets.orchestration.automation.model_watch import SENSOR as WATCH
from atlas_assets.orchestration.automation.model_watch import poll
from atlas_assets.orchestration.partitions import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.catalog import ARTIFACTS, ON_DEMAND, skipped_under
from atlas_assets.stages.setting import Setting
from atlas_assets.storage import source_record
from atlas_assets.storage.source_record import SourceRecord
from atlas_assets_tests.hub.conftest import only
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.orchestration.automation import followed
from atlas_assets_tests.orchestration.automation.daemon import Daemon
from atlas_assets_tests.orchestration.automation.followed import settings_in
from atlas_assets_tests.orchestration.tiny_atlas import (
    failure_text,
    files_of,
    materialize,
    run_job,
)

ROOTS = {"object_prompts", "checker_prompts", "token_checker_prompts"}
REPORTS = {"claims_report", "atlas_report", "atlas_version"}
OTHER, THIRD = "b" * 40, "c" * 40


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    with LocalHub() as hub:
        yield hub


@pytest.fixture(scope="module")
def home(hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """With an atlas in ``data``, and the Dagster instance that made it."""
    home = tmp_path_factory.mktemp("follow")
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
    with pytest.MonkeyPatch.context() as patch:
        only(hub, home / "hf", patch, xet=False)
        followed.publish(hub, home / "first", seed=0)
        with dg.DagsterInstance.from_config(str(home)) as instance:
            result = run_job(settings_in(home / "data"), instance)
        assert result.success, failure_text(result)
        yield home


@pytest.fixture
def settings(home: Path, tmp_path: Path) -> AtlasSettings:
    shutil.copytree(home / "data", tmp_path / "data")
    return settings_in(tmp_path / "data")


def tick(
    settings: AtlasSettings, instance: dg.DagsterInstance, cursor: str | None = None
) -> tuple[Any, str | None]:
    """What a tick answers (a `dg.RunRequest` or `dg.SkipReason`), and its cursor."""
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        return follow_sensor(settings)(context), context.cursor


def requested(settings: AtlasSettings, instance: dg.DagsterInstance) -> set[str]:
    """The assets that a first tick asks for; of none, it must say that all is up to date."""
    found, _ = tick(settings, instance)
    if isinstance(found, dg.SkipReason):
        assert found.skip_message == "every file is up to date"
        return set()
    return assets_of(found)


def assets_of(request: dg.RunRequest) -> set[str]:
    return {key.to_user_string() for key in request.asset_selection or ()}


def range_of(request: dg.RunRequest) -> tuple[str, str]:
    tags = request.tags
    return tags[ASSET_PARTITION_RANGE_START_TAG], tags[ASSET_PARTITION_RANGE_END_TAG]


def changed(settings: AtlasSettings, **changes: Any) -> AtlasSettings:
    return AtlasSettings.build(**{**settings.model_dump(), **changes})


def change_code(monkeypatch: pytest.MonkeyPatch, key: str, version: str = "changed") -> None:
    """A version of the package in which an artifact is made in another way."""
    monkeypatch.setitem(vars(ARTIFACTS[key]), "code_version", version)


def folder_of(settings: AtlasSettings) -> Path:
    return Path(settings.data_dir) / followed.NAME


def test_an_atlas_just_made_is_left_alone(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    poll(settings, instance)
    assert poll(settings, instance).endswith("nothing has changed")
    assert requested(settings, instance) == set()


def test_another_model_makes_everything_in_a_folder_of_its_own_at_all_settings(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    versions.seen(settings, OTHER)
    request, cursor = tick(settings, instance)
    # circuits are made by what completes them
    makes = ARTIFACTS.keys() - skipped_under(settings).keys() - ON_DEMAND - {"circuits"}
    assert assets_of(request) == makes | {"atlas_version"}
    assert range_of(request) == ("0.2|0.01", "0.7|0.2")
    assert request.tags[WHY_TAG].startswith("object_prompts: it is missing; ")
    # the same, as long as nothing is made: Dagster launches a run key once
    assert tick(settings, instance, cursor)[0].run_key == request.run_key
    # a model that changes again is another cause
    versions.seen(settings, THIRD)
    assert tick(settings, instance, cursor)[0].run_key != request.run_key


def test_a_new_version_gets_what_it_lacks_and_alone_is_put_in_force_when_it_is_whole(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    first = versions.known_sha(settings)
    assert first is not None
    versions.seen(settings, OTHER)
    versions.promote(settings, OTHER)
    versions.seen(settings, first)
    request, _ = tick(settings, instance)
    assert assets_of(request) == {"atlas_version"}
    assert request.tags[WHY_TAG] == "the new version is whole, and not yet in force"

    (folder_of(settings) / "14_summary.csv").unlink()
    assert {"summary", "figure_sweep", *REPORTS} == requested(settings, instance)

    damage(settings, "token_checker_masks")
    wanted = requested(settings, instance)
    assert "summary" in wanted
    assert "atlas_version" not in wanted


def damage(settings: AtlasSettings, key: str) -> None:
    """Changes the content of an HDF5 file and leaves the record of its making legible."""
    with h5py.File(folder_of(settings) / ARTIFACTS[key].filename, "r+") as file:
        arrays: list[h5py.Dataset] = []
        file.visititems(lambda _, node: arrays.append(node) if hasattr(node, "shape") else None)
        arrays[0][...] = 1 - arrays[0][...]


def test_changed_code_makes_what_it_makes_and_what_follows(
    settings: AtlasSettings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    detail = {"token_independence_detail", "token_independence_summary"}
    change_code(monkeypatch, "token_independence_detail")
    assert requested(settings, instance) == {*detail, "atlas_report", "atlas_version"}
    change_code(monkeypatch, "target_checker")
    request, _ = tick(settings, instance)
    wanted = assets_of(request)
    assert wanted == {*detail, "target_checker", "summary", "figure_sweep", *REPORTS}
    assert range_of(request) == ("0.2|0.01", "0.7|0.2")


def test_a_changed_setting_makes_what_depends_on_it(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    request, _ = tick(changed(settings, token_checker_setting="0.2,0.5"), instance)
    assert "+token_checker_setting=0.2,0.5" in request.tags[WHY_TAG]
    wanted = assets_of(request)
    assert {"token_checker_masks", "atlas_version"} <= wanted
    assert not {"masks", *ROOTS} & wanted
    wanted = requested(changed(settings, epsilons="0.01,0.2"), instance)
    assert {"masks", "summary", "atlas_version"} <= wanted
    assert not {"target_checker", *ROOTS} & wanted


def test_files_of_another_cut_of_the_grid_are_not_replaced(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    found, _ = tick(changed(settings, variations=3), instance)
    assert "would replace a file of another atlas" in found.skip_message
    assert "ATLAS_VARIATIONS" in found.skip_message


def test_new_settings_of_the_sweep_are_made_and_the_others_left(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    request, _ = tick(changed(settings, epsilons="0.01,0.1,0.2,0.3"), instance)
    wanted = assets_of(request)
    assert {"object_masks", "checker_masks", "target_checker", "masks", "summary"} <= wanted
    assert {"token_independence_summary", *REPORTS} <= wanted
    assert not {"object_activations", "token_checker_masks", *ROOTS} & wanted
    assert range_of(request) == ("0.2|0.3", "0.7|0.3")


def test_making_the_same_again_by_hand_makes_nothing_else_stale(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    for selection, partition in (
        (["checker_prompts", "token_checker_prompts"], None),
        (["object_masks", "checker_masks", "target_checker"], "0.5|0.1"),
        (["masks"], None),
    ):
        result = materialize(settings, instance, selection, partition)
        assert result.success, failure_text(result)
        assert requested(settings, instance) == set(), selection


def test_what_was_fetched_is_left_as_it_is_and_what_follows_made_from_it(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    store, _ = open_to_build(settings)
    for key, at in (("summary", None), ("target_checker", Setting(0.1, 0.5))):
        value = store.read(key, at)
        inputs = dict.fromkeys(ARTIFACTS[key].inputs, "0" * 64)
        path = store.write(key, value.head(len(value) - 1), at, inputs=inputs).path
        record = SourceRecord(
            repository="someone/atlas",
            revision=OTHER,
            path=path.name,
            sha256=file_digest(path),
            size=path.stat().st_size,
        )
        source_record.write(path, record)
    assert requested(settings, instance) == {"figure_sweep", *REPORTS}


def test_an_atlas_that_was_never_made_is_not_begun(
    home: Path, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    settings = settings_in(tmp_path)
    assert "new to Dagster" in poll(settings, instance)
    assert requested(settings, instance) == set()
    versions.seen(settings, OTHER)
    assert requested(settings, instance) == set()


def test_what_fails_a_blocking_check_is_not_built_upon(
    settings: AtlasSettings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_code(monkeypatch, "token_independence_detail")
    damage(settings, "token_checker_masks")
    found, _ = tick(settings, instance)
    assert found.skip_message.startswith(
        "token_independence_detail is not made: token_checker_masks fails the check schema; "
    )
    # what does not follow from it is made all the same
    change_code(monkeypatch, "target_checker")
    wanted = requested(settings, instance)
    assert {"target_checker", "summary"} <= wanted
    assert not {"token_independence_detail", "atlas_report", "atlas_version"} & wanted


def test_what_would_be_made_from_nothing_is_not_made(
    settings: AtlasSettings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_code(monkeypatch, "object_masks")
    (folder_of(settings) / ARTIFACTS["object_activations"].filename).unlink()
    found, _ = tick(settings, instance)
    assert "object_masks is not made: object_activations is missing" in found.skip_message


def test_a_state_is_made_once_until_it_comes_back(
    settings: AtlasSettings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = ARTIFACTS["atlas_report"].code_version
    keys, cursor = [], None
    for version in ("changed", "changed", code, "changed", "again"):
        change_code(monkeypatch, "atlas_report", version)
        found, cursor = tick(settings, instance, cursor)
        keys.append(getattr(found, "run_key", None))
    assert keys[0] == keys[1]
    assert keys[2] is None
    assert len({*keys}) == 4


def test_tags_hold_no_path(
    settings: AtlasSettings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_code(monkeypatch, "summary")
    path = folder_of(settings) / ARTIFACTS["checker_activations"].filename
    path.write_bytes(path.read_bytes()[:1000])
    request, _ = tick(settings, instance)
    assert request.tags[WHY_TAG].startswith("summary: its code version is 2+")
    assert str(Path(settings.data_dir).parent) not in str(request.tags)


def test_nothing_is_requested_while_a_run_makes_files(
    settings: AtlasSettings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_code(monkeypatch, "atlas_report")
    job = dg.Definitions(jobs=[dg.define_asset_job("atlas")]).resolve_job_def("atlas")
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    found, _ = tick(settings, instance)
    assert found.skip_message == f"run {run.run_id[:8]} (atlas) is under way"


def test_a_run_that_ends_in_a_slow_tick_leads_to_no_second_run(
    settings: AtlasSettings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forced: the files have been looked at, and then a run makes what is stale."""
    change_code(monkeypatch, "atlas_report")
    at_once = plan.survey

    def slow(*arguments: Any, **options: Any) -> Any:
        found = at_once(*arguments, **options)
        assert materialize(settings, instance, ["atlas_report"]).success
        return found

    with monkeypatch.context() as patch:
        patch.setattr(plan, "survey", slow)
        found, cursor = tick(settings, instance)
        assert found.skip_message == "a run was begun meanwhile, and may have changed the files"
        assert cursor is None
    assert requested(settings, instance) == set()


def test_the_daemon_follows_the_model(hub: LocalHub, home: Path) -> None:
    env = hub.environment(
        home / "hf", DAGSTER_HOME=str(home), **followed.environment(home / "data")
    )
    with dg.DagsterInstance.from_config(str(home)) as instance, Daemon(env, home) as daemon:
        old = home / "data" / followed.NAME
        before, first = files_of(old), pin(home)["in_force"]["sha"]
        assert pin(home)["in_force"] == {"sha": first, "folder": followed.NAME}

        # the same sha: nothing
        daemon.more_ticks(instance, (WATCH, FOLLOW))
        assert len(instance.get_runs()) == 1
        assert f"is at {first}; nothing has changed" in daemon.ticks(instance, WATCH)[0].skip_reason
        looked = daemon.ticks(instance, FOLLOW)[0]
        assert looked.skip_reason == "every file is up to date", looked.error

        # another sha: one run of everything, at all nine settings, into a folder of its own
        second = followed.publish(hub, home / "second", seed=1)
        daemon.wait_for("the new version", lambda: pin(home)["in_force"]["sha"] == second)
        daemon.wait_for("its run", lambda: all(r.is_finished for r in instance.get_runs()))
        daemon.more_ticks(instance, (WATCH, FOLLOW), 2)
        (run, *others) = instance.get_runs()
        assert len(others) == 1, [(r.job_name, r.tags) for r in (run, *others)]
        assert run.is_success
        assert run.job_name == "atlas"
        assert WHY_TAG in run.tags
        steps = {step.step_key for step in instance.get_run_step_stats(run.run_id)}
        assert {"object_masks_integrity", "summary_integrity", "atlas_version"} <= steps
        new = home / "data" / f"{followed.NAME}@{second[:12]}"
        assert pin(home)["building"] is None
        assert pin(home)["in_force"] == {"sha": second, "folder": new.name}
        assert set(files_of(new)) == set(before)
        assert files_of(new)["12_object_activations.h5"] != before["12_object_activations.h5"]
        assert files_of(old) == before
        made = instance.fetch_materializations(
            dg.AssetRecordsFilter(dg.AssetKey("object_masks")), limit=100
        ).records
        assert sorted(str(r.partition_key) for r in made if r.run_id == run.run_id) == sorted(
            f"{c}|{e}" for c in ("0.2", "0.5", "0.7") for e in ("0.01", "0.1", "0.2")
        )

        # the Hub is down: a message, and nothing else
        hub.close()
        daemon.wait_for(
            "a failed tick", lambda: daemon.ticks(instance, WATCH)[0].status.name == "FAILURE"
        )
        daemon.more_ticks(instance, (WATCH, FOLLOW))
        said = daemon.ticks(instance, WATCH)[0].error.to_string()
        assert "cannot look up the model on the Hub" in said
        assert hub.token not in said
        assert len(instance.get_runs()) == 2
        assert pin(home)["in_force"]["sha"] == second


def pin(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / "data" / f"{followed.NAME}.model.json").read_text())
    return found
