"""A scheduler of dask.distributed and its workers, each a process of its own on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

#: seconds for processes to import torch and find each other, where others keep the machine busy
PATIENCE = 600
#: as in docs/cluster.md
CONFIG = Path(__file__).resolve().parents[2] / "deploy" / "dask.yaml"


class Cluster:
    """Processes that are started one by one, and all stopped at the end."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.file = folder / "scheduler.json"
        self._folder = folder
        self._port = port
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start_scheduler()

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        self.file.unlink(missing_ok=True)
        file = ("--scheduler-file", str(self.file))
        port = ("--port", str(self._port), "--dashboard-address", "127.0.0.1:0")
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", *port, *file)
        return self.scheduler

    def start_worker(
        self, environ: Mapping[str, str] | None = None, threads: int = 1
    ) -> subprocess.Popen[bytes]:
        options = (
            "--nthreads",
            str(threads),
            "--no-nanny",
            "--no-dashboard",
            "--host",
            "127.0.0.1",
        )
        worker = self._start(
            "worker", "--scheduler-file", str(self.file), *options, environ=environ or {}
        )
        self.workers.append(worker)
        return worker

    def _start(self, *command: str, environ: Mapping[str, str] = {}) -> subprocess.Popen[bytes]:
        # the workers' own folder: a model is not found by a path relative to the driver's
        with (self._folder / f"{command[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *command],
                cwd=self._folder,
                env={**os.environ, "DASK_CONFIG": str(CONFIG), **environ},
                stdout=log,
                stderr=log,
            )

    def wait_for(self, workers: int = 0) -> None:
        """Wait for the scheduler and so many workers."""
        from distributed import Client

        end = time.monotonic() + PATIENCE
        while not self.file.exists():
            if time.monotonic() > end:
                raise TimeoutError(f"{self.file} was not written")
            time.sleep(0.05)
        if workers:
            file = str(self.file)
            with Client(scheduler_file=file, timeout=PATIENCE, set_as_default=False) as client:
                client.wait_for_workers(workers, timeout=PATIENCE)

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()


@contextmanager
def cluster(folder: Path, workers: int, port: int = 0) -> Iterator[Cluster]:
    """A scheduler that so many workers are connected to."""
    started = Cluster(folder, port)
    try:
        for _ in range(workers):
            started.start_worker()
        started.wait_for(workers)
        yield started
    finally:
        started.stop()
