"""The same prompts on threads of one process and on workers of Dask, in turns, to the same bytes.

What is compared is prompts per second of processor time, of the driver, the scheduler and the
workers together: what a machine of so many cores could do. The scheduler and the workers are
processes on 127.0.0.1; their model is loaded in a first run, which is not counted. ``python -m
benchmarks.engines --pairs 60 --workers 1`` is a quick look.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy.typing as npt

from atlas_assets.atlas.model import AtlasModel
from atlas_assets.engines.dask_engine import engine_of
from atlas_assets.extraction.extraction import read_prompts
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.progress import Progress
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.activations.activations import units_of_object_prompts
from atlas_assets.stages.prompts.inventory import inventory_of
from atlas_assets_tests.engines.cluster import Cluster, cluster
from benchmarks import report
from benchmarks.measure import Findings, Measurement, Table

PAIRS, WORKERS, ROUNDS = 60, (1, 2, 4), 3
#: times the processor time of threads that a prompt may take on workers
MOST = 1.3


@dataclass(frozen=True)
class Run:
    """What one pass over the prompts took, and the digest of what it gave.

    Attributes:
        wall: seconds.
        driver: seconds of processor time of this process.
        others: likewise, of the scheduler and the workers.
        digest: of sums, counts and losses.
    """

    wall: float
    driver: float
    others: float
    digest: str

    @property
    def processor(self) -> float:
        """Seconds of processor time of all processes."""
        return self.driver + self.others


@dataclass(frozen=True)
class _Way:
    """A way to run the prompts: on threads here, or on the workers of a cluster."""

    name: str
    cluster: Cluster | None

    def run(self, model: AtlasModel, units: Mapping[str, Sequence[str]]) -> Run:
        engine = None if self.cluster is None else str(self.cluster.file)
        settings = AtlasSettings.build(engine=engine, device="cpu")
        loaded = model.loaded
        pids = []
        if self.cluster is not None:
            pids = [process.pid for process in (*self.cluster.workers, self.cluster.scheduler)]
        before, own, wall = sum(map(_processor, pids)), time.process_time(), time.perf_counter()
        found = read_prompts(
            loaded,
            units,
            shards=ShardStore(None, "0" * 8),
            progress=Progress(self.name),
            engine=engine_of(settings, model, lambda _line: None),
        )
        took = time.perf_counter() - wall, time.process_time() - own
        others = sum(map(_processor, pids)) - before
        activations = found.activations.whole()
        digest = hashlib.sha256()
        arrays: list[npt.NDArray[Any]] = [activations.sums, activations.counts]
        for array in (*arrays, *found.losses.values()):
            digest.update(array.tobytes())
        return Run(*took, others, digest.hexdigest())


def _processor(pid: int) -> float:
    """Seconds of processor time that a process has taken so far, of user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(pairs: int, workers: Sequence[int], rounds: int) -> Findings:
    """Run the prompts of so many pairs each way, in turns.

    Raises:
        RuntimeError: workers gave other bytes than threads.
    """
    candidates = inventory_of(AtlasSettings()).object_candidates()
    model = AtlasModel(AtlasSettings.build(device="cpu"))
    units = dict(list(units_of_object_prompts(candidates).items())[:pairs])
    prompts = len({text for texts in units.values() for text in texts})
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        ways = [_Way("threads", None)]
        for count in workers:
            folder = Path(name) / str(count)
            folder.mkdir()
            started = stack.enter_context(cluster(folder, count))
            ways.append(_Way(f"{count} worker{'s' if count > 1 else ''}", started))
        for way in ways:
            way.run(model, units)
        runs: dict[str, list[Run]] = {way.name: [] for way in ways}
        for _ in range(rounds):
            for way in ways:
                runs[way.name].append(way.run(model, units))
    if len({run.digest for of_way in runs.values() for run in of_way}) != 1:
        raise RuntimeError(f"not the same bytes: {runs}")
    return findings(runs, prompts)


def findings(runs: Mapping[str, Sequence[Run]], prompts: int) -> Findings:
    """Compare the runs of each way, of so many prompts, with those on threads of the same turn."""
    threads = runs["threads"]
    rows: list[tuple[str | float, ...]] = []
    bars = []
    for name, of_way in runs.items():
        middle = [
            statistics.median(values)
            for values in zip(*((run.wall, run.driver, run.others) for run in of_way), strict=True)
        ]
        rate = prompts / statistics.median(run.processor for run in of_way)
        ratio = statistics.median(
            run.processor / beside.processor for run, beside in zip(of_way, threads, strict=True)
        )
        rows.append((name, *middle, rate, ratio))
        if of_way is not threads:
            what = f"processor time on {name}, against threads"
            bars.append(Measurement(what, ratio, "×", MOST))
    said = f"{prompts:,} prompts, float32, {os.cpu_count()} cores"
    return Findings(
        bars,
        [
            Table(
                f"The same prompts on threads and on workers ({said})",
                (
                    "engine",
                    "wall (s)",
                    "driver (processor s)",
                    "scheduler and workers (processor s)",
                    "prompts per processor second",
                    "overhead (×)",
                ),
                tuple(rows),
            )
        ],
    )


def measure() -> Findings:
    """The table of docs/cluster.md."""
    return measured(PAIRS, WORKERS, ROUNDS)


@click.command()
@click.option("--pairs", type=click.IntRange(min=1), default=PAIRS, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), multiple=True, default=WORKERS)
@click.option("--rounds", type=click.IntRange(min=1), default=ROUNDS, show_default=True)
def main(pairs: int, workers: tuple[int, ...], rounds: int) -> None:
    """Print the table, and what was seen against its bar."""
    found = measured(pairs, workers, rounds)
    sections = {"engines": "threads and workers"}
    click.echo(
        report.markdown(report.merged({"sections": {}}, {"engines": found}, sections), sections)
    )
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    click.echo(f"distributed {version('distributed')}; load afterwards {load}")
    sys.exit(0 if all(one.met for one in found.measurements) else 1)


if __name__ == "__main__":
    main()
