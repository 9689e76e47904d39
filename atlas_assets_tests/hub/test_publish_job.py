"""The job ``publish``: what it reports, what it tries again, and that it never tells the token."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from atlas_assets.hub import publish as hub_publish
from atlas_assets.orchestration.automation import publishing
from atlas_assets.orchestration.automation.publishing import RETRIES
from atlas_assets_tests.hub.built_atlas import REPO, Built, first_cursor
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.publishing import Trusting
from atlas_assets_tests.orchestration.tiny_atlas import failure_text

COMMIT = r"/commit/"
FEW = ["summary", "checker_masks|0.8|0.5"]
CANARY = "hf_Canary0123456789Canary"


@pytest.fixture(autouse=True)
def _trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """That tables load is tested elsewhere."""
    monkeypatch.setattr(hub_publish, "DatasetsVerifier", Trusting)


def test_the_sensors_run_makes_one_commit_and_says_so(built: Built, hub: LocalHub) -> None:
    (request,) = built.tick(hub.client(), first_cursor()).run_requests
    result = built.run(hub.client(), request)
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
    hub.forget_calls()
    again = built.run(hub.client(), request)
    assert again.success and len(hub.commits(REPO)) == 2 and len(hub.calls()) <= 3


def test_a_part_is_published_by_name(built: Built, hub: LocalHub) -> None:
    result = built.run(hub.client(), cells=FEW)
    assert result.success, failure_text(result)
    assert set(hub.files(REPO)) == {
        "14_summary.csv",
        "viewer/summary.parquet",
        "13_checker_masks_eps0.5_cons0.8.h5",
        "atlas.json",
        "README.md",
    }
    wrong = built.run(hub.client(), cells=["sumary"])
    assert "no such asset or partition" in failure_text(wrong)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_is_refused_is_tried_once(built: Built, hub: LocalHub, status: int) -> None:
    hub.create(REPO)
    hub.fail("POST", COMMIT, status=status, times=99)
    result = built.run(hub.client(), cells=FEW)
    assert not result.success
    assert not _retries(result) and len(hub.calls("POST", COMMIT)) == 1
    assert f"HTTP {status}" in failure_text(result) or "no such repository" in failure_text(result)


def test_a_token_that_cannot_be_sent_is_tried_once(built: Built, hub: LocalHub) -> None:
    result = built.run(hub.client(token="hf_tökén"), cells=FEW)
    assert not result.success and not _retries(result) and hub.calls() == []
    assert "a token with other characters" in failure_text(result)
    assert "tök" not in failure_text(result)


def test_others_files_are_replaced_only_when_that_is_said(built: Built, hub: LocalHub) -> None:
    hub.push(REPO, {"14_summary.csv": b"theirs"})
    refused = built.run(hub.client(), cells=FEW)
    assert not refused.success and not _retries(refused)
    assert "no publication left there" in failure_text(refused)
    assert built.run(hub.client(), cells=FEW, overwrite=True).success
    assert hub.files(REPO)["14_summary.csv"] != b"theirs"


def test_what_passes_is_tried_again_a_bounded_number_of_times(built: Built, hub: LocalHub) -> None:
    fault = hub.fail("POST", COMMIT, status=503, times=99)
    client = hub.client(attempts=2)
    result = built.run(client, cells=FEW)
    assert not result.success and len(_retries(result)) == RETRIES
    assert len(hub.calls("POST", COMMIT)) == 2 * (RETRIES + 1)
    assert len(hub.commits(REPO)) == 1
    fault.times = 3
    assert built.run(client, cells=FEW).success and len(hub.commits(REPO)) == 2


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
    if not refused:
        hub.tokens.add(CANARY)
    else:
        told = f'{{"error":"token {CANARY} is not valid"}}'
        hub.fail("POST", COMMIT, status=401, body=told, times=99)
        hub.tokens.add(CANARY)
    with caplog.at_level("DEBUG"):
        result = built.run(hub.client(token=CANARY), cells=FEW)
    assert result.success is not refused
    # it was used
    assert any(CANARY in call.authorization for call in hub.calls("POST", COMMIT))
    assert CANARY not in failure_text(result) + caplog.text + "".join(capfd.readouterr())
    events = built.instance.all_logs(result.run_id)
    assert events and all(CANARY not in repr(event) for event in events)
    for folder in (built.home, built.data_dir):
        assert _holders(folder) == []
    assert all(CANARY.encode() not in data for data in hub.files(REPO).values())


def test_the_job_and_the_sensor_are_in_the_definitions() -> None:
    from atlas_assets.definitions import build_definitions
    from atlas_assets.settings import AtlasSettings

    definitions = build_definitions(AtlasSettings.build())
    assert publishing.SENSOR in {sensor.name for sensor in definitions.sensors or ()}
    assert publishing.SCHEDULE in {schedule.name for schedule in definitions.schedules or ()}
    assert definitions.resolve_job_def(publishing.JOB).name == publishing.JOB


def _retries(result: dg.ExecuteInProcessResult) -> list[dg.DagsterEvent]:
    return [e for e in result.all_events if e.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY]


def _holders(folder: Path) -> list[Path]:
    """Files that hold the token."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if CANARY.encode() in path.read_bytes()]
