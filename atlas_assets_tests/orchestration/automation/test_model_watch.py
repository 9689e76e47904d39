"""The poll that notices what a followed model has become."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from atlas_assets.atlas import versions
from atlas_assets.definitions import build_definitions
from atlas_assets.errors import HubError, SettingsError
from atlas_assets.orchestration.automation.model_watch import poll
from atlas_assets.orchestration.data_versions import announced_version
from atlas_assets_tests.hub.conftest import hub
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.orchestration.automation import followed
from atlas_assets_tests.orchestration.automation.followed import MODEL, settings_in

__all__ = ["hub"]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def test_the_poll_asks_once_and_reports_what_is_new(
    hub: LocalHub, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    settings = settings_in(tmp_path / "data")
    first = followed.publish(hub, tmp_path / "first", seed=0)
    hub.forget_calls()
    assert poll(settings, instance) == f"{MODEL} is at {first}; new to Dagster, and reported"
    assert len(hub.calls()) == 1
    assert poll(settings, instance) == f"{MODEL} is at {first}; nothing has changed"
    assert announced_version(instance) == f"{first}+last_token"

    second = followed.publish(hub, tmp_path / "second", seed=1)
    assert "new to Dagster" in poll(settings, instance)
    assert announced_version(instance) == f"{second}+last_token"
    pin = versions.pin_of(settings)
    assert pin is not None
    assert pin.building is not None
    assert (pin.in_force.sha, pin.building.sha) == (first, second)


@pytest.mark.parametrize("status", [401, 404, 503])
def test_a_hub_error_is_told_without_secrets_and_changes_nothing(
    hub: LocalHub, tmp_path: Path, instance: dg.DagsterInstance, status: int
) -> None:
    settings = settings_in(tmp_path / "data")
    sha = followed.publish(hub, tmp_path / "first", seed=0)
    poll(settings, instance)
    pin = versions.pin_path(settings).read_bytes()
    followed.publish(hub, tmp_path / "second", seed=1)
    hub.fail("GET", "/api/models", status=status, times=9)
    with pytest.raises(HubError) as error:
        poll(settings, instance)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__
    assert hub.token not in str(error.value)
    assert versions.pin_path(settings).read_bytes() == pin
    assert announced_version(instance) == f"{sha}+last_token"


def test_the_readout_is_part_of_the_models_version(
    hub: LocalHub, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    sha = followed.publish(hub, tmp_path / "first", seed=0)
    poll(settings_in(tmp_path / "data", readout="published", dtype="float16"), instance)
    assert announced_version(instance) == f"{sha}+published+float16"


def test_a_pinned_sha_and_a_model_on_this_machine_are_not_asked_for(
    hub: LocalHub, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    sha = followed.publish(hub, tmp_path / "first", seed=0)
    hub.forget_calls()
    data = tmp_path / "data"
    assert "nothing to follow" in poll(settings_in(data, model_revision=sha), instance)
    assert announced_version(instance) == f"{sha}+last_token"
    folder = settings_in(data, model=str(tmp_path / "first"))
    assert "lies on this machine; new to Dagster" in poll(folder, instance)
    assert "nothing has changed" in poll(folder, instance)
    before = announced_version(instance)
    followed.publish(hub, tmp_path / "first", seed=1)
    assert "new to Dagster" in poll(folder, instance)
    assert announced_version(instance) != before
    assert hub.calls() == []


def test_schedule_and_sensor_poll(
    hub: LocalHub, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    sha = followed.publish(hub, tmp_path / "first", seed=0)
    settings = settings_in(tmp_path / "data", model_poll_cron="30 4 * * 1")
    repository = build_definitions(settings).get_repository_def()
    schedule = repository.get_schedule_def("poll_model")
    assert schedule.cron_schedule == "30 4 * * 1"
    tick = schedule.evaluate_tick(dg.build_schedule_context(instance=instance))
    assert f"is at {sha}; new to Dagster" in (tick.skip_message or "")
    sensor = repository.get_sensor_def("watch_model")
    seen = sensor.evaluate_tick(dg.build_sensor_context(instance=instance))
    assert "nothing has changed" in (seen.skip_message or "")
    assert not tick.run_requests
    assert not seen.run_requests


def test_times_that_are_no_schedule_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ATLAS_MODEL_POLL_CRON"):
        build_definitions(settings_in(tmp_path, model_poll_cron="every day"))
