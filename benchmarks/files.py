"""Reading and writing files at the size of the paper's model, through the public functions."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from atlas_assets import io
from atlas_assets.atlas.open import open_to_build
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.masks.masks import ObjectMasks, object_masks
from atlas_assets.stages.setting import REFERENCE, Setting
from atlas_assets.storage.hdf5.reader import Hdf5Reader
from atlas_assets.storage.hdf5.writer import Hdf5Writer
from atlas_assets.storage.store import AtlasStore
from benchmarks import plain_files
from benchmarks.measure import Findings, Measurement, Table, run, seconds
from benchmarks.synthetic import NAME, SIZE, activations, environment, pair_names

ROOT = Path(__file__).resolve().parents[1]
#: the setting with most neurons in its masks
DENSEST = Setting(0.001, 0.2)


def measure() -> Findings:
    """Loaders in this process and in a fresh one; sizes and times against plain h5py."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, _ = open_to_build(AtlasSettings.from_env(environment(folder)))
        found = activations(pair_names(), seed=0)
        store.write("object_activations", found, inputs={})
        masks = {at: object_masks(found, at) for at in (REFERENCE, DENSEST)}
        for at, value in masks.items():
            store.write("object_masks", value, at)
        rows = [*_reading(folder / NAME, store), *_activations(store, found), _nine(store, found)]
        tables = [_against_plain(folder, store, masks), _ways(folder, masks[DENSEST], found)]
    return Findings(rows, tables)


def _reading(data: Path, store: AtlasStore) -> list[Measurement]:
    at: dict[str, Any] = {
        "eps": REFERENCE.epsilon,
        "cons": REFERENCE.consistency,
        "data_root": data,
    }
    dense = {**at, "eps": DENSEST.epsilon, "cons": DENSEST.consistency}
    code = (
        "from atlas_assets.io import load_universal_masks as load; "
        f"load(eps={REFERENCE.epsilon}, cons={REFERENCE.consistency}, data_root={str(data)!r})"
    )
    universal = partial(io.load_universal_masks, **at)
    fresh = seconds(lambda: run([sys.executable, "-c", code], cwd=ROOT), repeats=5)
    return [
        Measurement("universal masks of a setting, as sets", 1e3 * _of(universal), "ms", 150),
        Measurement("the same in a fresh process, its start and imports included", fresh, "s"),
        Measurement(
            "all pair masks of a setting, as arrays",
            _of(lambda: store.read("object_masks", REFERENCE)),
            "s",
            1,
            note=str(REFERENCE),
        ),
        Measurement(
            "all pair masks of a setting, as sets",
            _of(partial(io.load_pair_masks, **at)),
            "s",
            1,
            note=str(REFERENCE),
        ),
        Measurement(
            "the same where most neurons are in masks, 845 of each 2,048 on average",
            _of(partial(io.load_pair_masks, **dense)),
            "s",
            note=str(DENSEST),
        ),
        Measurement(
            "pair masks of one layer, as sets", _of(partial(io.load_pair_masks, layer=4, **at)), "s"
        ),
    ]


def _activations(store: AtlasStore, found: object) -> list[Measurement]:
    return [
        Measurement(
            f"read activations, {SIZE}", _of(lambda: store.read("object_activations")), "s"
        ),
        Measurement(
            "write them",
            seconds(lambda: store.write("object_activations", found, inputs={}), repeats=3),
            "s",
        ),
    ]


def _nine(store: AtlasStore, found: Activations) -> Measurement:
    """The mask files of a sweep, made anew: thresholds and intersections are not counted."""
    masks = {at: object_masks(found, at) for at in store.sweep}

    def write() -> None:
        for at, value in masks.items():
            store.write("object_masks", value, at)

    what = f"write the {len(masks)} files of object masks, digests included"
    return Measurement(what, _processor(write, repeats=3), "s", note="processor time")


def _against_plain(folder: Path, store: AtlasStore, masks: dict[Setting, ObjectMasks]) -> Table:
    """One mask file, written and read with h5py's usual interface and gzip, as the release does."""
    rows = []
    for at, value in masks.items():
        path = folder / "plain.h5"
        plain_write = seconds(partial(plain_files.write, path, value), repeats=1, warm=False)
        plain_read = seconds(partial(plain_files.read, path), repeats=1, warm=False)
        ours = store.path("object_masks", at)
        write = seconds(partial(store.write, "object_masks", value, at))
        read = _of(partial(store.read, "object_masks", at))
        for what, mine, theirs, unit in (
            ("write", write, plain_write, "s"),
            ("read, with its checks", read, plain_read, "s"),
            ("size", ours.stat().st_size / 1e6, path.stat().st_size / 1e6, "MB"),
        ):
            rows.append((str(at), f"{what} ({unit})", mine, theirs, theirs / mine))
    columns = ("setting", "a file of object masks", "ours", "plain h5py, gzip", "plain / ours")
    return Table("Against one dataset at a time", columns, tuple(rows))


def _ways(folder: Path, masks: ObjectMasks, found: Activations) -> Table:
    """What storing the vectors costs: with their places known to us, or as deflated chunks."""
    pairs = masks.whole_pairs()
    files: dict[str, plain_files.Vectors] = {
        "masks": {
            "pair_masks": (pairs.names, pairs.bits),
            "universal_masks": (masks.universal.names, masks.universal.bits),
        },
        "activations": {
            "activations": (found.names, found.sums),
            "firing_counts": (found.names, found.counts),
        },
    }
    rows: list[tuple[str | float, ...]] = []
    for what, vectors in files.items():
        for way, write in (("places", _write_places), ("chunks", plain_files.write_chunks)):
            path = folder / f"{way}.h5"
            written = _processor(partial(write, path, vectors))
            read = _processor(partial(_read_all, path, vectors))
            rows.append((what, way, written, read, path.stat().st_size / 1e6))
    columns = ("file", "its vectors as", "write (s)", "read (s)", "MB")
    return Table("Processor time of two ways to store vectors", columns, tuple(rows))


def _write_places(path: Path, vectors: plain_files.Vectors) -> None:
    writer = Hdf5Writer()
    for group, (names, values) in vectors.items():
        writer.vectors(group, names, values)
    path.write_bytes(writer.finish())


def _read_all(path: Path, vectors: plain_files.Vectors) -> None:
    with Hdf5Reader(path) as reader:
        for group, (_, values) in vectors.items():
            reader.vectors(group, values.dtype)


def _processor(work: Callable[[], object], *, repeats: int = 5) -> float:
    """Median processor time of a call, in seconds; the first call is not measured."""
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def _of(work: object) -> float:
    assert callable(work)
    return seconds(work, repeats=5)
