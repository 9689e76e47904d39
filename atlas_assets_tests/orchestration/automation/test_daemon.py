"""Following a model with Dagster's own daemon, headless, against a Hub of our own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import TickStatus

from atlas_assets.orchestration.automation.follow import SENSOR as FOLLOW
from atlas_assets.orchestration.automation.model_watch import SENSOR as WATCH
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.orchestration.automation import followed
from atlas_assets_tests.orchestration.tiny_atlas import files_of

BIN = Path(sys.executable).parent
#: the definitions as they are, looking every second instead of every quarter of an hour
DEFINITIONS = """
from atlas_assets.orchestration.automation import follow, model_watch
follow.INTERVAL = model_watch.INTERVAL = 1
from atlas_assets.definitions import defs
"""
DAGSTER_YAML = "telemetry: {enabled: false}\nnux: {enabled: false}\n"
PATIENCE = 180.0


class Daemon:
    """A running dagster-daemon, and what its instance remembers."""

    def __init__(self, env: dict[str, str], home: Path) -> None:
        self.env, self.home = env, home
        self.definitions = home / "followed_definitions.py"
        self.definitions.write_text(DEFINITIONS)
        (home / "dagster.yaml").write_text(DAGSTER_YAML)
        self.log = home / "daemon.log"
        self.process: subprocess.Popen[bytes] | None = None

    def dagster(self, *command: str) -> None:
        done = subprocess.run(
            [str(BIN / "dagster"), *command, "-f", str(self.definitions)],
            env=self.env,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr[-3000:]

    def start(self) -> None:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(BIN / "dagster-daemon"), "run", "-f", str(self.definitions)],
                env=self.env,
                cwd=self.home,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Its code server and runs end with it: they are of one process group."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    with LocalHub() as hub:
        yield hub


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("follow")


@pytest.fixture(scope="module")
def first(hub: LocalHub, home: Path) -> str:
    return followed.publish(hub, home / "first", seed=0)


@pytest.fixture(scope="module")
def instance(home: Path, daemon: Daemon) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


@pytest.fixture(scope="module")
def daemon(hub: LocalHub, home: Path, first: str) -> Iterator[Daemon]:
    """With one atlas built by hand, and both sensors on."""
    env = hub.environment(
        home / "hf", DAGSTER_HOME=str(home), **followed.environment(home / "data")
    )
    daemon = Daemon(env, home)
    daemon.dagster("job", "execute", "-j", "atlas")
    daemon.dagster("sensor", "start", "--start-all")
    daemon.start()
    yield daemon
    daemon.stop()


def ticks(instance: dg.DagsterInstance, sensor: str) -> list:
    """Finished ticks of a sensor, the latest first."""
    state = next(s for s in instance.all_instigator_state() if s.instigator_name == sensor)
    found = instance.get_ticks(state.instigator_origin_id, state.selector_id)
    return [tick for tick in found if tick.status != TickStatus.STARTED]


def wait_for(what: str, done: Callable[[], bool], daemon: Daemon) -> None:
    until = time.monotonic() + PATIENCE
    while not done():
        log = daemon.log.read_text()[-3000:]
        assert time.monotonic() < until, f"{what} did not come; the daemon says:\n{log}"
        time.sleep(0.2)


def more_ticks(instance: dg.DagsterInstance, daemon: Daemon, n: int = 1) -> None:
    """Of both sensors; of two, the second has seen everything that was there before."""
    for sensor in (WATCH, FOLLOW):
        wanted = len(ticks(instance, sensor)) + n
        wait_for("ticks", lambda s=sensor, w=wanted: len(ticks(instance, s)) >= w, daemon)


def pin(home: Path) -> dict:
    return json.loads((home / "data" / f"{followed.NAME}.model.json").read_text())


def test_the_daemon_follows_the_model(
    hub: LocalHub, home: Path, first: str, daemon: Daemon, instance: dg.DagsterInstance
) -> None:
    old = home / "data" / followed.NAME
    before = files_of(old)
    assert pin(home)["in_force"] == {"sha": first, "folder": followed.NAME}

    # the same sha: nothing
    more_ticks(instance, daemon)
    assert len(instance.get_runs()) == 1
    assert f"is at {first}; nothing has changed" in ticks(instance, WATCH)[0].skip_reason

    # another sha: one run of everything, at all nine settings, into a folder of its own
    second = followed.publish(hub, home / "second", seed=1)
    wait_for("the new version", lambda: pin(home)["in_force"]["sha"] == second, daemon)
    wait_for("the end of the run", lambda: all(r.is_finished for r in instance.get_runs()), daemon)
    more_ticks(instance, daemon, 2)
    (run, *others) = instance.get_runs()
    assert len(others) == 1, [sorted(map(str, r.asset_selection or ())) for r in (run, *others)]
    assert run.is_success
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
    assert sorted(r.partition_key for r in made if r.run_id == run.run_id) == sorted(
        {f"{c}|{e}" for c in ("0.2", "0.5", "0.7") for e in ("0.01", "0.1", "0.2")}
    )

    # the Hub is down: a message, and nothing else
    hub.close()
    wait_for(
        "a failed tick",
        lambda: ticks(instance, WATCH)[0].status == TickStatus.FAILURE,
        daemon,
    )
    more_ticks(instance, daemon)
    failed = ticks(instance, WATCH)[0]
    said = failed.error.to_string()
    assert "cannot look up the model on the Hub" in said
    assert hub.token not in said
    assert len(instance.get_runs()) == 2
    assert pin(home)["in_force"]["sha"] == second
