"""Dagster's own daemon, headless, with the sensors of the definitions switched on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import dagster as dg

BIN = Path(sys.executable).parent
#: the definitions as they are, looking every second instead of every quarter of an hour
DEFINITIONS = """
from atlas_assets.orchestration.automation import follow, model_watch
follow.INTERVAL = model_watch.INTERVAL = 1
from atlas_assets.definitions import defs
"""
PATIENCE = 180.0


class Daemon:
    """A running dagster-daemon, and what its instance in ``home`` remembers."""

    def __init__(self, env: dict[str, str], home: Path) -> None:
        self.env, self.home = env, home
        self.definitions = home / "followed_definitions.py"
        self.definitions.write_text(DEFINITIONS)
        self.log = home / "daemon.log"

    def __enter__(self) -> Self:
        self._dagster("dagster", "sensor", "start", "--start-all").communicate(timeout=PATIENCE)
        self.process = self._dagster("dagster-daemon", "run")
        return self

    def __exit__(self, *_: object) -> None:
        """Its code server and runs end with it: they are of one process group."""
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def _dagster(self, program: str, *command: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [str(BIN / program), *command, "-f", str(self.definitions)],
                env=self.env,
                cwd=self.home,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def ticks(self, instance: dg.DagsterInstance, sensor: str) -> list[Any]:
        """Finished ticks of a sensor, the latest first; none before the sensor is switched on."""
        for state in instance.all_instigator_state():
            if state.instigator_name == sensor:
                found = instance.get_ticks(state.instigator_origin_id, state.selector_id)
                return [tick for tick in found if tick.status.name != "STARTED"]
        return []

    def wait_for(self, what: str, done: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not done():
            log = self.log.read_text()[-3000:]
            assert time.monotonic() < until, f"{what} did not come; the daemon says:\n{log}"
            time.sleep(0.2)

    def more_ticks(self, instance: dg.DagsterInstance, sensors: Iterable[str], n: int = 1) -> None:
        """Waits for ticks; of two, the second has seen everything that was there before."""
        for sensor in sensors:
            wanted = len(self.ticks(instance, sensor)) + n
            self.wait_for(
                f"ticks of {sensor}",
                lambda s=sensor, w=wanted: len(self.ticks(instance, s)) >= w,
            )
