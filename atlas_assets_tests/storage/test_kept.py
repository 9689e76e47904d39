"""What was read is handed over again while its files do not change, and cannot be changed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest

from atlas_assets.errors import ArtifactError, MissingArtifactError
from atlas_assets.storage import kept as kept_values
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.storage.defects import refusing
from atlas_assets_tests.storage.samples import SETTING, equal, objects, store_at


def universal(store: AtlasStore) -> Any:
    return store.recall("object_masks", SETTING, "universal")


def test_what_was_read_is_handed_over_again_and_cannot_be_changed(
    store: AtlasStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    time.sleep(0.05)  # what changed just now is not kept
    handed, read = universal(store), store.read("object_masks", SETTING, "universal")
    assert handed.universal is universal(store).universal
    assert handed.universal is not read.universal
    assert handed.pairs is None
    assert equal(handed.universal, read.universal)
    assert np.array_equal(handed.matrices["ast"], read.matrices["ast"])
    for array in (handed.universal.bits, handed.matrices["ast"]):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = True
    table = store.recall("summary")
    table.drop_in_place(table.columns[-1])
    assert store.recall("summary").equals(store.read("summary"))
    matrices = store.recall("jaccard_matrices").values
    with pytest.raises(ValueError, match="read-only"):
        next(iter(matrices.values()))[:] = 0
    handed.matrices.clear()
    assert set(universal(store).matrices) == set(read.matrices)
    masks, activations = store.recall("object_masks", SETTING), store.recall("object_activations")
    assert store.recall("object_masks", SETTING).pairs is masks.pairs
    for array in (masks.pairs.bits, activations.sums, activations.counts, activations.n_prompts):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0
    size = activations.sums.nbytes + activations.counts.nbytes + activations.n_prompts.nbytes
    for most, is_kept in ((size, True), (size - 1, False)):
        monkeypatch.setattr(kept_values, "_SMALL", most)
        fresh = store_at(Path(store.root))
        again = fresh.recall("object_activations")
        assert (fresh.recall("object_activations") is again) is is_kept


def in_place(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        folder = file["universal_masks/layer_0"]
        folder[next(iter(folder))][0] ^= True


def by_another_file(path: Path) -> None:
    data = path.read_bytes()
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.unlink()
    path.write_bytes(data)
    in_place(path)
    os.utime(path, ns=times)


@pytest.mark.parametrize("change", [in_place, by_another_file])
def test_what_is_handed_over_is_read_anew_once_its_file_is_another(
    store: AtlasStore, change: Callable[[Path], None]
) -> None:
    universal(store)
    path = Path(store.path("object_masks", SETTING).path)
    change(path)
    with pytest.raises(ArtifactError, match="not what was written"):
        universal(store)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ArtifactError, match="damaged"):
        universal(store)
    path.unlink()
    with pytest.raises(MissingArtifactError):
        universal(store)


@pytest.mark.parametrize("change", [in_place, by_another_file])
def test_what_was_just_written_is_handed_over_until_its_file_is_another(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    store = store_at(tmp_path)
    # by another store, as by another process
    store_at(tmp_path).write("object_masks", objects(), SETTING, inputs={})
    earlier = store.provenance("object_masks", SETTING)
    written = objects(width=8)
    store.write("object_masks", written, SETTING, inputs={})
    assert store.provenance("object_masks", SETTING) != earlier
    read = store_at(tmp_path).read("object_masks", SETTING, "universal")
    assert equal(universal(store).universal, read.universal)
    assert np.array_equal(universal(store).matrices["ast"], read.matrices["ast"])
    written.universal.bits[:] = False  # what the caller has is his own
    assert equal(universal(store).universal, read.universal)
    change(Path(store.path("object_masks", SETTING).path))
    with pytest.raises(ArtifactError, match="not what was written"):
        universal(store)
    store_at(tmp_path).write("object_masks", objects(), SETTING, inputs={})
    assert universal(store).universal.width != 8
    assert store.provenance("object_masks", SETTING) == earlier


def test_a_table_is_read_again_once_its_record_is_another(store: AtlasStore) -> None:
    store.recall("summary")
    for record in Path(store.root.path, ".provenance").glob("14_summary.csv.*.json"):
        record.write_text("{}")
    with refusing(ArtifactError, "14_summary.csv"):
        store.recall("summary")


def test_what_changed_just_now_is_not_kept(
    store: AtlasStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = Path(store.path("jaccard_matrices").path).stat().st_ctime_ns
    for age, kept in ((1_000_000, False), (1_000_000_000, True)):
        monkeypatch.setattr(time, "time_ns", lambda age=age: changed + age)
        first, again = (store.recall("jaccard_matrices").values["ast"] for _ in range(2))
        assert (again is first) is kept


def test_what_is_kept_has_a_bound_in_bytes_however_many_threads_read(
    tmp_path: Path,
) -> None:
    file, kept = tmp_path / "a", kept_values.Kept[Any](most_bytes=4_000)
    file.touch()
    states = replace(kept_values.states_of([file]), settled=True)
    large = pl.DataFrame({"a": np.zeros(1_000)})

    def put(first: int) -> None:
        for name in range(first, first + 500):
            kept.put(name, states, np.zeros(125))
            kept.put("too large", states, large)

    with ThreadPoolExecutor() as threads:
        list(threads.map(put, range(0, 2_000, 500)))
    held = [name for name in range(2_000) if kept.of(name, states)]
    assert len(held) == 4
    assert kept.of("too large", states) is None
    kept.put(held[0], states, np.zeros(125))  # again
    assert all(kept.of(name, states) for name in held)
    kept.put(held[1], states, np.zeros(500))
    assert [name for name in held if kept.of(name, states)] == [held[1]]
