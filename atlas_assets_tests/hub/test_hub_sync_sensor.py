"""The sensor and the schedule: one run for what a run made, once; and nothing otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from atlas_assets.hub import publish as hub_publish
from atlas_assets.orchestration.automation.publishing import (
    JOB,
    TARGET_TAG,
    hub_sync_sensor,
    publish_job,
    publish_schedule,
)
from atlas_assets_tests.hub.built_atlas import REPO, Built, first_cursor
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.publishing import Trusting
from atlas_assets_tests.orchestration.tiny_atlas import failure_text


@pytest.fixture(autouse=True)
def _trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """That tables load is tested elsewhere."""
    monkeypatch.setattr(hub_publish, "DatasetsVerifier", Trusting)


def request_of(tick: Any) -> dg.RunRequest:
    (request,) = tick.run_requests or ()
    assert isinstance(request, dg.RunRequest)
    return request


def reason_of(tick: Any) -> str:
    assert not tick.run_requests
    return str(tick.skip_message)


def is_idle(tick: Any) -> bool:
    """Whether there was no run to look at."""
    return "empty result" in reason_of(tick)


def test_it_says_what_to_configure(
    built: Built, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = first_cursor()
    assert "set ATLAS_HUB_TARGET" in reason_of(built.tick(hub.client(), first, hub_target=None))
    monkeypatch.delenv("HF_TOKEN")
    nobody = replace(hub.client(), token=None)
    reason = reason_of(built.tick(nobody, first))
    assert "HF_TOKEN" in reason and "hf auth login" in reason
    assert daily(built, nobody) == reason
    assert hub.calls() == []


def test_a_run_that_made_an_atlas_is_published_once(own: Built, hub: LocalHub) -> None:
    tick = own.tick(hub.client(), first_cursor())
    request = request_of(tick)
    (made,) = own.instance.get_runs()
    assert request.run_key == made.run_id and request.tags[TARGET_TAG] == REPO
    # no request to the Hub, whatever the tick
    assert hub.calls() == []
    result = own.run(hub.client(), request)
    assert result.success, failure_text(result)
    assert len(hub.commits(REPO)) == 2
    # its own run is a successful one, and is not published
    after = own.tick(hub.client(), tick.cursor)
    assert f"run {result.run_id[:8]} ({JOB}) made no file" in reason_of(after)
    # then there is nothing more to look at
    assert is_idle(own.tick(hub.client(), after.cursor))


def test_a_sensor_that_is_switched_on_later_begins_there(built: Built, hub: LocalHub) -> None:
    assert "Initiating" in reason_of(built.tick(hub.client(), None))


def test_a_change_is_one_commit_and_no_change_is_none(own: Built, hub: LocalHub) -> None:
    first = own.tick(hub.client(), first_cursor())
    assert own.run(hub.client(), request_of(first)).success
    passed = own.tick(hub.client(), first.cursor)
    made = own.materialize("summary")
    again = own.tick(hub.client(), passed.cursor)
    assert request_of(again).run_key == made
    head = hub.head(REPO)
    assert own.run(hub.client(), request_of(again)).success
    assert hub.head(REPO) == head


def test_runs_that_ended_together_are_published_together(own: Built, hub: LocalHub) -> None:
    own.materialize("summary")
    first = own.tick(hub.client(), first_cursor())
    result = own.run(hub.client(), request_of(first))
    second = own.tick(hub.client(), first.cursor)
    assert f"run {result.run_id[:8]} publishes what" in reason_of(second)
    # what went to another repository is still to come to this one
    assert request_of(own.tick(hub.client(), first.cursor, hub_target="someone/else"))


def test_a_publication_that_failed_is_requested_again(own: Built, hub: LocalHub) -> None:
    own.materialize("summary")
    first = own.tick(hub.client(), first_cursor())
    hub.create(REPO)
    fault = hub.fail("POST", r"/commit/", status=403, times=99)
    assert not own.run(hub.client(), request_of(first)).success
    fault.times = 0
    second = own.tick(hub.client(), first.cursor)
    assert request_of(second).run_key != request_of(first).run_key
    assert own.run(hub.client(), request_of(second)).success
    assert "14_summary.csv" in hub.files(REPO)


def test_a_part_that_was_published_by_hand_is_not_the_whole(own: Built, hub: LocalHub) -> None:
    assert own.run(hub.client(), cells=["summary"]).success
    assert request_of(own.tick(hub.client(), first_cursor()))


def test_failed_runs_and_others_are_not_published(own: Built, hub: LocalHub) -> None:
    cursor = own.tick(hub.client(), first_cursor()).cursor
    made(own, "summary", passed=False)
    assert is_idle(own.tick(hub.client(), cursor))
    made(own, "somebody_elses", passed=True)
    assert "made no file of an atlas" in reason_of(own.tick(hub.client(), cursor))


def test_what_does_not_pass_its_checks_is_not_published(own: Built, hub: LocalHub) -> None:
    """Whatever Dagster remembers of it: the file itself is looked at."""
    made(own, "summary", passed=True)
    (path,) = own.data_dir.rglob("14_summary.csv")
    path.write_text(path.read_text().replace("0.5", "0.6", 1))
    request = request_of(own.tick(hub.client(), first_cursor()))
    result = own.run(hub.client(), request)
    assert result.success, failure_text(result)
    assert "13_object_masks_eps0.5_cons0.8.h5" in hub.files(REPO)
    assert "14_summary.csv" not in hub.files(REPO)


def test_the_sensor_answers_for_one_run(built: Built, hub: LocalHub) -> None:
    sensor = hub_sync_sensor(built.settings(), publish_job(), hub.client())
    (run,) = built.instance.get_runs()
    succeeded = built.instance.fetch_run_status_changes(
        dg.DagsterEventType.RUN_SUCCESS, limit=1
    ).records[0]
    event = succeeded.event_log_entry.dagster_event
    assert event is not None
    context = dg.build_run_status_sensor_context(
        sensor_name=sensor.name,
        dagster_event=event,
        dagster_instance=built.instance,
        dagster_run=run,
    )
    with context:
        found = sensor(context)
    assert isinstance(found, dg.RunRequest) and found.run_key == run.run_id


def test_the_schedule_publishes_what_was_made_by_hand(own: Built, hub: LocalHub) -> None:
    request = daily(own, hub.client())
    assert isinstance(request, dg.RunRequest)
    assert own.run(hub.client(), request).success and len(hub.commits(REPO)) == 2
    assert own.run(hub.client(), request).success and len(hub.commits(REPO)) == 2
    schedule = publish_schedule(own.settings(), publish_job(), hub.client())
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED


def daily(built: Built, client: Any) -> dg.RunRequest | str:
    """What the schedule requests, or why it requests nothing."""
    schedule = publish_schedule(built.settings(), publish_job(), client)
    at = datetime(2026, 1, 1, 7, tzinfo=UTC)
    with dg.build_schedule_context(instance=built.instance, scheduled_execution_time=at) as context:
        tick = schedule.evaluate_tick(context)
    if not tick.run_requests:
        return str(tick.skip_message)
    (request,) = tick.run_requests
    return request


def made(own: Built, key: str, *, passed: bool) -> None:
    """A run that materialises an asset, as its blocking check passes or fails."""

    @dg.asset(key=key, check_specs=[dg.AssetCheckSpec("schema", asset=key, blocking=True)])
    def asset():
        check = dg.AssetCheckResult(check_name="schema", passed=passed)
        return dg.MaterializeResult(check_results=[check])

    dg.materialize([asset], instance=own.instance, raise_on_error=False)
