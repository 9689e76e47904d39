"""Reading and writing files at the size of the paper's model, through the public functions."""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from atlas_assets import io
from atlas_assets.atlas.open import open_to_build
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.masks.masks import ObjectMasks, object_masks
from atlas_assets.stages.setting import REFERENCE, Setting
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
        rows = [*_reading(folder / NAME, store), *_activations(store, found)]
        table = _against_plain(folder, store, masks)
    return Findings(rows, [table])


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


def _of(work: object) -> float:
    assert callable(work)
    return seconds(work, repeats=5)
