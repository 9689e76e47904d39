"""Peak memory of driver and workers while a large atlas is run and added up in shards.

``python -m benchmarks.unit_shards --pairs 2000 --pairs 8000`` makes so many pairs up, of 16 prompts
each, and runs them on the embedded model as those of a large atlas are: two workers over TCP add
shards of whole pairs up and write them, and the driver writes the activations of all of them to a
file. Each size has a driver and workers of its own, and what a process has ever held is what the
kernel says of it (``VmHWM``). The model is small, and so are the sums of a pair: a shard is full
when it has 16,384 prompts.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import click

from atlas_assets.atlas.model import AtlasModel
from atlas_assets.atlas.open import open_to_build
from atlas_assets.engines.dask_engine import engine_of
from atlas_assets.extraction.extraction import read_prompts
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.progress import Progress
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.activations import stored
from atlas_assets_tests.engines.cluster import cluster
from benchmarks import report
from benchmarks.measure import Findings, Measurement, Table, own_peak_gb, peak_gb, run
from benchmarks.synthetic import environment

ROOT = Path(__file__).resolve().parents[1]
PAIRS, PROMPTS, WORKERS = (2000, 8000), 16, 2
#: bytes by which the peak of a worker may grow from the fewest pairs to the most, in MB
MOST_MB = 50


def units(pairs: int) -> dict[str, tuple[str, ...]]:
    """Pairs that share no prompt, so that shards of them are as small as they can be."""
    return {
        f"Node{pair // 100:04d}__name{pair % 100:04d}": tuple(
            f"for item_{pair} in range({number}): pass" for number in range(PROMPTS)
        )
        for pair in range(pairs)
    }


def drive(scheduler: Path, pairs: int, folder: Path) -> dict[str, float]:
    """Run so many pairs on the workers and write their activations; say what this process held."""
    settings = AtlasSettings.from_env().model_copy(update={"engine": str(scheduler)})
    store, _ = open_to_build(settings)
    model = AtlasModel(settings)
    loaded = model.loaded
    before, started = own_peak_gb(), time.perf_counter()
    with mock.patch.object(stored, "LARGE", 0):  # as if readouts took more than 20 GB
        found = read_prompts(
            loaded,
            units(pairs),
            shards=ShardStore(folder / "work", "0" * 8),
            progress=Progress("adding up"),
            engine=engine_of(settings, model, lambda _line: None),
        )
        seconds, ran = time.perf_counter() - started, own_peak_gb()
        store.write("object_activations", found.activations, inputs={})
    shards = len(list((folder / "work").rglob("0*.safetensors")))
    return {
        "loaded_gb": before,
        "ran_gb": ran,
        "gb": own_peak_gb(),
        "seconds": seconds,
        "shards": shards,
    }


def measured(sizes: tuple[int, ...]) -> Findings:
    """Run each number of pairs with a driver and two workers of its own."""
    rows, of_workers = [], []
    for pairs in sizes:
        with tempfile.TemporaryDirectory() as name, cluster(Path(name), WORKERS) as started:
            folder = Path(name) / "atlas"
            command = [sys.executable, "-m", "benchmarks.unit_shards", "--pairs", str(pairs)]
            command += ["--scheduler", str(started.file), "--folder", str(folder)]
            told = run(command, cwd=ROOT, env=environment(folder)).output.splitlines()[-1]
            driver = json.loads(told)
            of_workers.append(max(peak_gb(worker.pid) for worker in started.workers))
            scheduler = peak_gb(started.scheduler.pid)
        rows.append(
            (
                pairs,
                pairs * PROMPTS,
                driver["shards"],
                driver["loaded_gb"],
                driver["ran_gb"],
                driver["gb"],
                of_workers[-1],
                scheduler,
                driver["seconds"],
            )
        )
    growth = 1e3 * (of_workers[-1] - of_workers[0])
    of_driver = 1e9 * (rows[-1][5] - rows[0][5]) / max(1, rows[-1][1] - rows[0][1])
    return Findings(
        [
            Measurement(
                f"growth of a worker's peak from {sizes[0]:,} to {sizes[-1]:,} pairs",
                growth,
                "MB",
                MOST_MB,
            ),
            Measurement("growth of the driver's peak for each prompt more", of_driver, "bytes"),
        ],
        [
            Table(
                f"Peak memory of a pass in shards, {WORKERS} workers",
                (
                    "pairs",
                    "prompts",
                    "shards",
                    "driver: the model loaded (GB)",
                    "the pass over (GB)",
                    "activations written (GB)",
                    "worker, the larger one (GB)",
                    "scheduler (GB)",
                    "pass (s)",
                ),
                tuple(rows),
            )
        ],
    )


@click.command()
@click.option("--pairs", type=click.IntRange(min=1), multiple=True, default=PAIRS)
@click.option("--scheduler", type=click.Path(path_type=Path), hidden=True)
@click.option("--folder", type=click.Path(path_type=Path), hidden=True)
def main(pairs: tuple[int, ...], scheduler: Path | None, folder: Path | None) -> None:
    """Say what driver and workers held at each number of pairs."""
    if scheduler is not None and folder is not None:
        click.echo(json.dumps(drive(scheduler, pairs[0], folder)))
        return
    found = measured(pairs)
    sections = {"unit shards": "a pass in shards of whole pairs, on workers"}
    document = report.merged({"sections": {}}, {"unit shards": found}, sections)
    click.echo(report.markdown(document, sections))
    click.echo(f"load afterwards {os.getloadavg()[0]:.1f}")
    sys.exit(0 if all(one.met for one in found.measurements) else 1)


if __name__ == "__main__":
    main()
