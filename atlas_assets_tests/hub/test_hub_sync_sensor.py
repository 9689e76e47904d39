"""The sensor: a publication after each run that succeeded, and nothing otherwise."""

from __future__ import annotations

from dataclasses import replace

import dagster as dg
import pytest

from atlas_assets.definitions import build_definitions
from atlas_assets.orchestration.automation.publishing import CAUSE_TAG
from atlas_assets_tests.hub.built_atlas import Built
from atlas_assets_tests.hub.local_hub import LocalHub


def test_it_says_what_to_configure(
    built: Built, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = built.last_run()
    off = built.told(hub.client(), run, hub_target=None)
    assert "set ATLAS_HUB_TARGET" in off.skip_message
    monkeypatch.delenv("HF_TOKEN")
    without = built.told(replace(hub.client(), token=None), run)
    assert "HF_TOKEN" in without.skip_message and "hf auth login" in without.skip_message
    assert hub.calls() == []


def test_a_run_that_succeeded_is_published_once(built: Built, hub: LocalHub) -> None:
    run = built.last_run()
    request, again = built.told(hub.client(), run), built.told(hub.client(), run)
    assert request.run_key == again.run_key == run.run_id
    assert request.tags[CAUSE_TAG] == run.run_id
    # no request to the Hub, whatever the sensor says
    assert hub.calls() == []


def test_what_changed_nothing_is_no_commit(own: Built, hub: LocalHub) -> None:
    assert own.run(hub.client()).success
    commits = len(hub.calls("POST", "commit"))
    own.materialize("summary")
    assert own.told(hub.client(), own.last_run("__ASSET_JOB")).run_key
    assert own.run(hub.client()).success
    assert len(hub.calls("POST", "commit")) == commits


def test_a_publication_is_no_news(own: Built, hub: LocalHub) -> None:
    assert own.run(hub.client()).success
    assert "nothing new" in own.told(hub.client(), own.last_run("publish")).skip_message


def test_a_run_in_progress_is_waited_for(own: Built, hub: LocalHub) -> None:
    ended = own.last_run()
    run = own.instance.create_run_for_job(_nothing("atlas"), status=dg.DagsterRunStatus.STARTED)
    assert "has not finished" in own.told(hub.client(), ended).skip_message
    own.instance.report_run_failed(run)
    assert own.told(hub.client(), ended).run_key == ended.run_id


def test_what_was_made_by_hand_is_published_by_a_schedule(built: Built) -> None:
    repository = build_definitions(built.settings()).get_repository_def()
    schedule = repository.get_schedule_def("publish_daily")
    assert schedule.job_name == "publish"
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED


def _nothing(name: str) -> dg.JobDefinition:
    @dg.op
    def nothing() -> None:
        """Does nothing."""

    @dg.job(name=name)
    def job() -> None:
        nothing()

    return job
