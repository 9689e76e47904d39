"""The sensor: one run for what is new and has passed its checks, once; and nothing otherwise."""

from __future__ import annotations

import json
from dataclasses import replace

import dagster as dg
import pytest

from atlas_assets.orchestration.automation.publishing import CONTENT_TAG, OP
from atlas_assets.orchestration.partitions import partition_key
from atlas_assets.soundness.checks import checks_of
from atlas_assets.stages.setting import REFERENCE
from atlas_assets_tests.hub.built_atlas import Built
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.orchestration.tiny_atlas import ASSET_KEYS

REFERENCE_KEY = str(partition_key(REFERENCE))


def request_of(found: dg.SensorResult | dg.SkipReason) -> dg.RunRequest:
    assert isinstance(found, dg.SensorResult), found
    (request,) = found.run_requests or ()
    return request


def cells_of(found: dg.SensorResult | dg.SkipReason) -> list[str]:
    cells: list[str] = request_of(found).run_config["ops"][OP]["config"]["cells"]
    return cells


def reason_of(found: dg.SensorResult | dg.SkipReason) -> str:
    if isinstance(found, dg.SkipReason):
        return found.skip_message or ""
    assert not found.run_requests
    return (found.skip_reason and found.skip_reason.skip_message) or ""


def test_it_says_what_to_configure(
    built: Built, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "set ATLAS_HUB_TARGET" in reason_of(built.tick(hub.client(), hub_target=None))
    monkeypatch.delenv("HF_TOKEN")
    reason = reason_of(built.tick(replace(hub.client(), token=None)))
    assert "HF_TOKEN" in reason and "hf auth login" in reason
    assert hub.calls() == []


def test_a_finished_atlas_is_one_run(built: Built, hub: LocalHub) -> None:
    found = built.tick(hub.client())
    request = request_of(found)
    assets = {cell.partition("|")[0] for cell in cells_of(found)}
    assert assets == ASSET_KEYS
    assert f"object_masks|{REFERENCE_KEY}" in cells_of(found)
    assert request.tags.keys() >= {CONTENT_TAG}
    assert isinstance(found, dg.SensorResult) and found.cursor is not None
    assert "nothing new" in reason_of(built.tick(hub.client(), found.cursor))
    # no request to the Hub, whatever the tick
    assert hub.calls() == []
    assert len(found.cursor) < 100 * len(cells_of(found))


@pytest.mark.parametrize("lost", [None, "", "nonsense", "{}", '{"seen": 1}'])
def test_a_lost_cursor_asks_for_the_same_run(built: Built, hub: LocalHub, lost: str | None) -> None:
    first, again = built.tick(hub.client()), built.tick(hub.client(), lost)
    assert request_of(first).run_key == request_of(again).run_key


def test_another_repository_is_another_run(built: Built, hub: LocalHub) -> None:
    found = built.tick(hub.client())
    assert isinstance(found, dg.SensorResult)
    other = built.tick(hub.client(), found.cursor, hub_target="someone/else")
    assert request_of(other).run_key != request_of(found).run_key


def test_the_same_content_made_again_is_no_run(own: Built, hub: LocalHub) -> None:
    found = own.tick(hub.client())
    assert isinstance(found, dg.SensorResult)
    own.materialize("summary")
    again = own.tick(hub.client(), found.cursor)
    assert "is what the last run published" in reason_of(again)
    assert isinstance(again, dg.SensorResult)
    assert "nothing new" in reason_of(own.tick(hub.client(), again.cursor))


def test_what_has_not_been_checked_is_waited_for(own: Built, hub: LocalHub) -> None:
    before = own.tick(hub.client())
    assert isinstance(before, dg.SensorResult)
    made(own, "summary", "other", passed=None)
    waiting = own.tick(hub.client(), before.cursor)
    assert "waiting for the checks of summary" in reason_of(waiting)
    # a lost cursor does not let it through either
    assert "summary" not in cells_of(own.tick(hub.client()))
    made(own, "layer_profile", "another", passed=True)
    # what is ready does not wait for what is not
    found = own.tick(hub.client(), before.cursor)
    assert "layer_profile" in cells_of(found) and "summary" not in cells_of(found)
    assert isinstance(found, dg.SensorResult)
    made(own, "summary", "checked", passed=True)
    assert "summary" in cells_of(own.tick(hub.client(), found.cursor))


def test_what_failed_a_check_is_not_published(own: Built, hub: LocalHub) -> None:
    before = own.tick(hub.client())
    assert isinstance(before, dg.SensorResult)
    made(own, "summary", "other", passed=False)
    found = own.tick(hub.client(), before.cursor)
    assert "a blocking check failed on summary" in reason_of(found)
    assert "summary" not in cells_of(own.tick(hub.client()))
    made(own, "summary", "mended", passed=True)
    assert "summary" in cells_of(own.tick(hub.client(), before.cursor))


def test_runs_in_progress_are_waited_for(own: Built, hub: LocalHub) -> None:
    for job, told in (("atlas", "has not finished"), ("publish", "is publishing")):
        run = own.instance.create_run_for_job(_nothing(job), status=dg.DagsterRunStatus.STARTED)
        assert told in reason_of(own.tick(hub.client()))
        own.instance.report_run_failed(run)
    assert request_of(own.tick(hub.client()))


def test_the_cursor_does_not_grow_with_time(own: Built, hub: LocalHub) -> None:
    cursor: str | None = None
    sizes = []
    for number in range(4):
        found = own.tick(hub.client(), cursor)
        assert isinstance(found, dg.SensorResult)
        cursor = found.cursor
        sizes.append(len(cursor or ""))
        made(own, "layer_profile", str(number), passed=True)
    assert max(sizes) - min(sizes) < 20
    assert json.loads(cursor or "").keys() == {"seen", "published", "content", "target"}


def made(own: Built, key: str, content: str, *, passed: bool | None) -> None:
    """A run that materialises an asset; its checks pass, fail, or (``None``) are not run."""
    names = [check.name for check in checks_of(key)] if passed is not None else []
    specs = [dg.AssetCheckSpec(name, asset=key, blocking=True) for name in names]

    @dg.asset(key=key, check_specs=specs)
    def asset():
        results = [dg.AssetCheckResult(check_name=name, passed=bool(passed)) for name in names]
        return dg.MaterializeResult(metadata={"source_sha256": content}, check_results=results)

    dg.materialize([asset], instance=own.instance, raise_on_error=False)


def _nothing(name: str) -> dg.JobDefinition:
    @dg.op
    def nothing() -> None:
        """Does nothing."""

    @dg.job(name=name)
    def job() -> None:
        nothing()

    return job
