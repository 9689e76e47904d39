"""The job ``publish``, the sensor and the schedule: one run for what a run made, and one commit.

What is tried again and what is not, and that the token is told to nobody.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from atlas_assets.definitions import build_definitions
from atlas_assets.hub import publish as hub_publish
from atlas_assets.hub_client.client import HubClient
from atlas_assets.orchestration.automation.publishing import (
    JOB,
    OP,
    RETRIES,
    TARGET_TAG,
    hub_sync_sensor,
    publish_job,
    publish_schedule,
)
from atlas_assets.settings import AtlasSettings
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.publishing import REPO, Trusting
from atlas_assets_tests.orchestration.tiny_atlas import failure_text
from atlas_assets_tests.soundness import sound_atlas

COMMIT = r"/commit/"
FEW = ["summary", "checker_masks|0.8|0.5"]
CANARY = "hf_Canary0123456789Canary"


@dataclass
class Built:
    """A sound atlas of one's own, an instance of Dagster that remembers a run of it, and a Hub.

    Attributes:
        first: the cursor of a sensor that was on before that run.
    """

    folder: Path
    instance: dg.DagsterInstance
    hub: LocalHub
    first: str = ""

    def settings(self, **changes: Any) -> AtlasSettings:
        return sound_atlas.settings_in(self.folder / "data", **{"hub_target": REPO, **changes})

    def tick(self, cursor: str | None, client: HubClient | None = None, **changes: Any) -> Any:
        """What the daemon makes of the sensor: run requests, why there are none, and a cursor.

        It looks at the first run that succeeded after the cursor, as one tick does.
        """
        client = client or self.hub.client()
        sensor = hub_sync_sensor(self.settings(**changes), publish_job(), client)
        with dg.build_sensor_context(instance=self.instance, cursor=cursor) as context:
            return sensor.evaluate_tick(context)

    def daily(self, client: HubClient | None = None) -> Any:
        """What it makes of the schedule."""
        client = client or self.hub.client()
        schedule = publish_schedule(self.settings(), publish_job(), client)
        at = datetime(2026, 1, 1, 7, tzinfo=UTC)
        with dg.build_schedule_context(self.instance, at) as context:
            return schedule.evaluate_tick(context)

    def run(
        self, request: Any = None, client: HubClient | None = None, **config: Any
    ) -> dg.ExecuteInProcessResult:
        """The job ``publish``, as it was requested or with this config."""
        run_config = request.run_config if request else {"ops": {OP: {"config": config}}}
        return publish_job(retry_delay=0.01).execute_in_process(
            instance=self.instance,
            run_config=run_config,
            tags=dict(request.tags) if request else None,
            resources={"settings": self.settings(), "hub": client or self.hub.client()},
            raise_on_error=False,
        )

    def materialize(self, asset: str) -> str:
        """Makes an asset again, and runs its checks; returns the id of the run."""
        job = build_definitions(self.settings()).resolve_implicit_global_asset_job_def()
        key = dg.AssetKey(asset)
        result = job.execute_in_process(instance=self.instance, asset_selection=[key])
        assert result.success, failure_text(result)
        return result.run_id

    def pretend(self, asset: str, *, passed: bool = True) -> str:
        """A run that says that it made an asset, as its blocking check passes or fails."""

        @dg.asset(key=asset, check_specs=[dg.AssetCheckSpec("schema", asset=asset, blocking=True)])
        def made():
            check = dg.AssetCheckResult(check_name="schema", passed=passed)
            return dg.MaterializeResult(check_results=[check])

        return dg.materialize([made], instance=self.instance, raise_on_error=False).run_id


@pytest.fixture
def built(sound: Path, hub: LocalHub, tmp_path: Path) -> Iterator[Built]:
    """A sound atlas of which one file was made in a run, to be changed."""
    shutil.copytree(sound, tmp_path / "data")
    with dg.DagsterInstance.ephemeral() as instance:
        atlas = Built(tmp_path, instance, hub)
        atlas.first = atlas.tick(None).cursor
        atlas.pretend("summary")
        yield atlas


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


def retries(result: dg.ExecuteInProcessResult) -> list[dg.DagsterEvent]:
    return [e for e in result.all_events if e.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY]


# the sensor and the schedule ----------------------------------------------------------------------


def test_they_say_what_to_configure(
    built: Built, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "set ATLAS_HUB_TARGET" in reason_of(built.tick(built.first, hub_target=None))
    monkeypatch.delenv("HF_TOKEN")
    nobody = replace(hub.client(), token=None)
    reason = reason_of(built.tick(built.first, nobody))
    assert "HF_TOKEN" in reason and "hf auth login" in reason
    assert reason_of(built.daily(nobody)) == reason
    assert hub.calls() == []
    # a sensor that is switched on later begins there
    assert "Initiating" in reason_of(built.tick(None))


def test_a_run_that_made_an_atlas_is_published_once(built: Built, hub: LocalHub) -> None:
    tick = built.tick(built.first)
    request = request_of(tick)
    (made,) = built.instance.get_runs()
    assert request.run_key == made.run_id and request.tags[TARGET_TAG] == REPO
    # no request to the Hub, whatever the tick
    assert hub.calls() == []
    result = built.run(request)
    assert result.success, failure_text(result)
    assert len(hub.commits(REPO)) == 2 and "14_summary.csv" in hub.files(REPO)
    observed = [
        event.event_specific_data.asset_observation  # type: ignore[union-attr]
        for event in result.all_events
        if event.event_type == dg.DagsterEventType.ASSET_OBSERVATION
    ]
    keys = {(o.asset_key.to_user_string(), o.partition) for o in observed}
    assert ("summary", None) in keys and ("object_masks", "0.8|0.5") in keys
    commit = observed[0].metadata["commit"].value
    assert commit == f"{hub.url}/datasets/{REPO}/commit/{hub.head(REPO)}"
    # its own run is a successful one, and is not published
    after = built.tick(tick.cursor)
    assert f"run {result.run_id[:8]} ({JOB}) made no file" in reason_of(after)
    # then there is nothing more to look at
    assert "empty result" in reason_of(built.tick(after.cursor))
    # a run that changes nothing is published as well, and nothing is committed
    again = built.materialize("summary")
    request = request_of(built.tick(after.cursor))
    assert request.run_key == again
    hub.forget_calls()
    assert built.run(request).success
    assert len(hub.commits(REPO)) == 2 and len(hub.calls()) <= 3


def test_runs_that_ended_together_are_published_together(built: Built, hub: LocalHub) -> None:
    built.pretend("summary")
    tick = built.tick(built.first)
    result = built.run(request_of(tick))
    second = built.tick(tick.cursor)
    assert f"run {result.run_id[:8]} publishes what" in reason_of(second)
    # what went to another repository is still to come to this one
    assert request_of(built.tick(tick.cursor, hub_target="someone/else"))


def test_a_publication_that_failed_is_requested_again(built: Built, hub: LocalHub) -> None:
    built.pretend("summary")
    tick = built.tick(built.first)
    hub.create(REPO)
    fault = hub.fail("POST", COMMIT, status=403, times=99)
    assert not built.run(request_of(tick)).success
    fault.times = 0
    second = built.tick(tick.cursor)
    assert request_of(second).run_key != request_of(tick).run_key
    assert built.run(request_of(second)).success
    assert "14_summary.csv" in hub.files(REPO)


def test_failed_runs_and_others_are_not_published(built: Built, hub: LocalHub) -> None:
    cursor = built.tick(built.first).cursor
    built.pretend("summary", passed=False)
    assert "empty result" in reason_of(built.tick(cursor))
    built.pretend("somebody_elses")
    assert "made no file of an atlas" in reason_of(built.tick(cursor))


def test_what_does_not_pass_its_checks_is_not_published(built: Built, hub: LocalHub) -> None:
    """Whatever Dagster remembers of it: the file itself is looked at."""
    built.pretend("summary")
    (path,) = built.folder.rglob("14_summary.csv")
    path.write_text(path.read_text().replace("0.5", "0.6", 1))
    result = built.run(request_of(built.tick(built.first)))
    assert result.success, failure_text(result)
    assert "13_object_masks_eps0.5_cons0.8.h5" in hub.files(REPO)
    assert "14_summary.csv" not in hub.files(REPO)


def test_the_schedule_publishes_what_was_made_by_hand(built: Built, hub: LocalHub) -> None:
    request = request_of(built.daily())
    for _ in range(2):
        assert built.run(request).success and len(hub.commits(REPO)) == 2


# the job ------------------------------------------------------------------------------------------


def test_a_part_is_published_by_name(built: Built, hub: LocalHub) -> None:
    result = built.run(cells=FEW)
    assert result.success, failure_text(result)
    assert set(hub.files(REPO)) == {
        "14_summary.csv",
        "viewer/summary.parquet",
        "13_checker_masks_eps0.5_cons0.8.h5",
        "atlas.json",
        "README.md",
    }
    # that is not the whole, which the sensor still requests
    assert request_of(built.tick(built.first))
    wrong = built.run(cells=["sumary"])
    assert "no such file, asset or partition" in failure_text(wrong)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_is_refused_is_tried_once(built: Built, hub: LocalHub, status: int) -> None:
    hub.create(REPO)
    hub.fail("POST", COMMIT, status=status, times=99)
    result = built.run(cells=FEW)
    assert not result.success
    assert not retries(result) and len(hub.calls("POST", COMMIT)) == 1
    assert f"HTTP {status}" in failure_text(result) or "no such repository" in failure_text(result)


def test_a_token_that_cannot_be_sent_is_tried_once(built: Built, hub: LocalHub) -> None:
    result = built.run(client=hub.client(token="hf_tökén"), cells=FEW)
    assert not result.success and not retries(result) and hub.calls() == []
    assert "a token with other characters" in failure_text(result)
    assert "tök" not in failure_text(result)


def test_others_files_are_replaced_only_when_that_is_said(built: Built, hub: LocalHub) -> None:
    hub.push(REPO, {"14_summary.csv": b"theirs"})
    refused = built.run(cells=FEW)
    assert not refused.success and not retries(refused)
    assert "no publication left there" in failure_text(refused)
    assert built.run(cells=FEW, overwrite=True).success
    assert hub.files(REPO)["14_summary.csv"] != b"theirs"


def test_what_passes_is_tried_again_a_bounded_number_of_times(built: Built, hub: LocalHub) -> None:
    fault = hub.fail("POST", COMMIT, status=503, times=99)
    client = hub.client(attempts=2)
    result = built.run(client=client, cells=FEW)
    assert not result.success and len(retries(result)) == RETRIES
    assert len(hub.calls("POST", COMMIT)) == 2 * (RETRIES + 1)
    assert len(hub.commits(REPO)) == 1
    fault.times = 3
    assert built.run(client=client, cells=FEW).success and len(hub.commits(REPO)) == 2


@pytest.mark.parametrize("refused", [False, True])
def test_the_token_is_told_to_nobody(
    built: Built,
    hub: LocalHub,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    refused: bool,
) -> None:
    """Not to the event log, its storage, the atlas, the output, or what is published."""
    hub.create(REPO)
    hub.tokens.add(CANARY)
    if refused:
        told = f'{{"error":"token {CANARY} is not valid"}}'
        hub.fail("POST", COMMIT, status=401, body=told, times=99)
    (home := built.folder / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as stored, caplog.at_level("DEBUG"):
        result = replace(built, instance=stored).run(client=hub.client(token=CANARY), cells=FEW)
        events = stored.all_logs(result.run_id)
    assert result.success is not refused
    # it was used
    assert any(CANARY in call.authorization for call in hub.calls("POST", COMMIT))
    assert CANARY not in failure_text(result) + caplog.text + "".join(capfd.readouterr())
    assert events and all(CANARY not in repr(event) for event in events)
    files = [path.read_bytes() for path in built.folder.rglob("*") if path.is_file()]
    assert all(CANARY.encode() not in data for data in (*files, *hub.files(REPO).values()))
