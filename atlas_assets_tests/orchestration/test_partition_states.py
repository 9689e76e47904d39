"""What Dagster says of each partition after runs of one, of a range, and after a retry.

Dagster calls failed what a failed run has planned and not made: of the partitions that a run does
not cover, it must say nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from atlas_assets.definitions import build_definitions
from atlas_assets.orchestration.partitions import partitions_of, range_tags
from atlas_assets.settings import AtlasSettings, env_name
from atlas_assets.stages.setting import REFERENCE, Setting
from atlas_assets_tests.orchestration.tiny_atlas import materialize
from atlas_assets_tests.soundness import sound_atlas

KEYS = ("object_masks", "checker_masks", "target_checker")
ONE = (REFERENCE, REFERENCE)
TWO = (Setting(0.001, 0.5), Setting(0.001, 0.8))


@pytest.fixture
def settings(sound: Path, tmp_path: Path) -> AtlasSettings:
    return sound_atlas.settings_in(shutil.copytree(sound, tmp_path / "data"))


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def states(settings: AtlasSettings, instance: dg.DagsterInstance) -> list[dict[str, str]]:
    """Of each partitioned asset, the partitions of which Dagster says anything, and what."""
    partitions = partitions_of(settings.sweep)["sweep"]
    found = []
    for key in KEYS:
        of_asset = instance.get_status_by_partition(
            dg.AssetKey(key), partitions.get_partition_keys(), partitions
        )
        found.append({str(at): state.name for at, state in (of_asset or {}).items() if state})
    return found


def job_from_environment() -> dg.JobDefinition:
    return build_definitions(AtlasSettings.from_env()).resolve_job_def("sweep")


def hide_activations(settings: AtlasSettings) -> Path:
    path = Path(settings.data_dir) / sound_atlas.NAME / "12_object_activations.h5"
    return path.rename(path.with_suffix(".hidden"))


@pytest.mark.parametrize("covered", [ONE, TWO])
@pytest.mark.parametrize("name", ["atlas", "sweep"])
def test_a_failed_run_fails_the_partitions_that_it_covers(
    name: str,
    covered: tuple[Setting, Setting],
    settings: AtlasSettings,
    instance: dg.DagsterInstance,
) -> None:
    hide_activations(settings)
    job = build_definitions(settings).resolve_job_def(name)
    result = job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(key) for key in KEYS],
        tags=range_tags(*covered),
        raise_on_error=False,
    )
    assert not result.success
    keys = {setting.partition_key for setting in covered}
    failed, made = dict.fromkeys(keys, "FAILED"), dict.fromkeys(keys, "MATERIALIZED")
    assert states(settings, instance) == [failed, made, failed]


def test_a_retry_from_the_failure_makes_the_partition_of_the_failed_run(
    settings: AtlasSettings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for field, value in settings.model_dump(exclude_defaults=True).items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        monkeypatch.setenv(env_name(field), text)
    hidden = hide_activations(settings)
    job, tags = dg.reconstructable(job_from_environment), range_tags(*ONE)
    with dg.execute_job(job, instance, tags=tags) as failed:
        assert not failed.success
    hidden.rename(hidden.with_suffix(".h5"))
    retry = dg.ReexecutionOptions.from_failure(failed.run_id, instance)
    with dg.execute_job(job, instance, tags=tags, reexecution_options=retry) as again:
        assert again.success
    made = {REFERENCE.partition_key: "MATERIALIZED"}
    assert states(settings, instance) == [made, made, made]


def test_a_failed_partition_of_assets_and_its_repetition_speak_of_that_partition(
    settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    hidden = hide_activations(settings)
    key = REFERENCE.partition_key
    assert not materialize(settings, instance, list(KEYS), key).success
    failed, made = {key: "FAILED"}, {key: "MATERIALIZED"}
    assert states(settings, instance) == [failed, made, failed]
    hidden.rename(hidden.with_suffix(".h5"))
    assert materialize(settings, instance, list(KEYS), key).success
    assert states(settings, instance) == [made, made, made]
