"""Masks, summary and status of an atlas that is larger than the memory, each in a fresh process.

``python -m benchmarks.scale --pairs 20000 --layers 32 --width 4096`` makes up activations of that
many pairs, writes them block by block, and runs each step on them. What a process has ever held is
what the kernel says of it (``VmHWM``).
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from atlas_assets.atlas.open import open_in_force
from atlas_assets.atlas.status import survey
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.activations.stored import StoredActivations
from atlas_assets.stages.concepts import concept_name
from atlas_assets.stages.decomposition import decomposition
from atlas_assets.stages.masks.masks import checker_masks
from atlas_assets.stages.masks.packed import object_masks_of
from atlas_assets.storage.store import AtlasStore
from benchmarks.measure import Findings, Measurement, Table, own_peak_gb, run
from benchmarks.synthetic import environment

ROOT = Path(__file__).resolve().parents[1]
N_PROMPTS, MOST_GB = 50, 6
#: units that differ; the others are these, turned by some neurons
_DIFFERENT = 16
#: AST nodes and builtins that have checker prompts, and neurons that all pairs share
_CHECKED, _SHARED = 20, 8


@dataclass(frozen=True)
class _Turned:
    """Values ``[units, layers, width]`` that are made where they are looked at."""

    some: npt.NDArray[Any]
    units: int
    shared: float

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.units, *self.some.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.some.dtype

    def __getitem__(self, units: slice, /) -> npt.NDArray[Any]:
        chosen = range(*units.indices(self.units))
        values = np.empty((len(chosen), *self.shape[1:]), self.dtype)
        for row, unit in enumerate(chosen):
            values[row] = np.roll(self.some[unit % len(self.some)], 97 * unit, axis=-1)
        values[:, :, :_SHARED] = self.shared
        return values


def made_up(names: tuple[str, ...], n_layers: int, width: int) -> StoredActivations:
    """Activations in which about a quarter of the neurons fire, most of them faintly."""
    rng = np.random.default_rng(0)
    shape = (min(len(names), _DIFFERENT), n_layers, width)
    counts = rng.binomial(N_PROMPTS, rng.beta(0.3, 0.9, size=shape)).astype(np.int32)
    sums = (counts * rng.lognormal(-2, 1.5, size=shape)).astype(np.float32)
    return StoredActivations(
        names,
        np.full(len(names), N_PROMPTS, np.int32),
        _Turned(sums, len(names), 2 * N_PROMPTS),
        _Turned(counts, len(names), N_PROMPTS),
    )


def write_activations(store: AtlasStore, pairs: int, layers: int, width: int) -> None:
    """Write the activations of pairs and of some concepts."""
    side = math.isqrt(pairs - 1) + 1
    names = [f"Node{ast:04d}__name{name:04d}" for ast in range(side) for name in range(side)]
    store.write("object_activations", made_up(tuple(names[:pairs]), layers, width), inputs={})
    some = range(min(_CHECKED, pairs // side))
    concepts = [concept_name("ast", f"Node{number:04d}") for number in some]
    concepts += [concept_name("builtin", f"name{number:04d}") for number in some]
    checkers: Activations = made_up(tuple(concepts), layers, width).whole()
    store.write("checker_activations", checkers, inputs={})


def write_masks(store: AtlasStore) -> None:
    """Write the masks of all settings, as the assets of that name do."""
    objects, checkers = store.read("object_activations"), store.read("checker_activations")
    for setting in store.sweep:
        store.write("object_masks", object_masks_of(objects, setting), setting)
        store.write("checker_masks", checker_masks(checkers.whole(), setting), setting)


def write_summary(store: AtlasStore) -> None:
    """Write the decomposition at all settings, and what it amounts to."""
    tables = {}
    for setting in store.sweep:
        universal = store.read("object_masks", setting, "universal").universal
        checked = store.read("checker_masks", setting).masks
        tables[setting] = decomposition.target_checker(universal, checked)
        store.write("target_checker", tables[setting], setting)
    store.write("summary", decomposition.summary(tables))


def survey_all(store: AtlasStore) -> None:
    """Look at every file, as ``atlas status`` does; all that were made must be fresh."""
    there = [state for state in survey(store) if state.size_bytes is not None]
    stale = [f"{state.path.name}: {state.reason}" for state in there if state.state != "fresh"]
    if stale or len(there) != 3 + 3 * len(store.sweep):
        raise RuntimeError(f"{len(there)} files, of which not fresh: {'; '.join(stale)}")


STEPS: Mapping[str, Callable[[AtlasStore], None]] = {
    "masks": write_masks,
    "summary": write_summary,
    "status": survey_all,
}


def measured(pairs: int, layers: int, width: int, folder: Path) -> Findings:
    """Run every step on an atlas of that size in a process of its own."""
    size = f"{pairs:,} × {layers} × {width:,}"
    rows = []
    for step in ("activations", *STEPS):
        command = [sys.executable, "-m", "benchmarks.scale", "--step", step]
        command += ["--pairs", str(pairs), "--layers", str(layers), "--width", str(width)]
        told = run(command, cwd=ROOT, env=environment(folder)).output.splitlines()[-1]
        found = json.loads(told)
        rows.append((step, found["gb"], found["seconds"]))
        click.echo(f"{step}: {found['gb']:.2f} GB, {found['seconds']:.0f} s", err=True)
    of_files = sum(file.stat().st_size for file in folder.rglob("*.h5")) / 1e9
    return Findings(
        [
            Measurement(f"peak memory of masks, summary and status, {size}", peak, "GB", MOST_GB)
            for peak in [max(gb for _, gb, _ in rows)]
        ]
        + [Measurement("files of HDF5 of that atlas", of_files, "GB")],
        [Table(f"Each step, {size}", ("step", "peak memory (GB)", "time (s)"), tuple(rows))],
    )


def measure() -> Findings:
    """Measure a small atlas, a few hundred MB."""
    with tempfile.TemporaryDirectory() as name:
        return measured(600, 8, 4096, Path(name))


@click.command()
@click.option("--pairs", type=click.IntRange(min=4), default=600, show_default=True)
@click.option("--layers", type=click.IntRange(min=1), default=8, show_default=True)
@click.option("--width", type=click.IntRange(min=16), default=4096, show_default=True)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the files are made, and stay; default: a temporary folder.",
)
@click.option("--step", type=click.Choice(["activations", *STEPS]), hidden=True)
def main(pairs: int, layers: int, width: int, folder: Path | None, step: str | None) -> None:
    """Make an atlas of that size up and say what masks, summary and status of it take."""
    if step is not None:
        _run_step(step, pairs, layers, width)
        return
    with tempfile.TemporaryDirectory() as name:
        found = measured(pairs, layers, width, folder or Path(name))
    for one in found.measurements:
        click.echo(f"{one.what}: {one.seen:.2f} {one.unit} {one.bar} {one.verdict}".rstrip())
    sys.exit(0 if all(one.met for one in found.measurements) else 1)


def _run_step(step: str, pairs: int, layers: int, width: int) -> None:
    started = time.perf_counter()
    store = open_in_force(AtlasSettings.from_env())
    if step == "activations":
        write_activations(store, pairs, layers, width)
    else:
        STEPS[step](store)
    told = {"gb": own_peak_gb(), "seconds": time.perf_counter() - started}
    click.echo(json.dumps(told))


if __name__ == "__main__":
    main()
