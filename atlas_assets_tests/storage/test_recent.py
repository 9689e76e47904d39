"""What a process read or wrote is handed over, until the file is another."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest

from atlas_assets.errors import ArtifactError, MissingArtifactError
from atlas_assets.storage.recent import Recent
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.storage import samples
from atlas_assets_tests.storage.full_store import store_at

SETTING = samples.objects().setting


@pytest.fixture
def store(tmp_path: Path) -> AtlasStore:
    store = store_at(tmp_path / "atlas")
    store.write("object_masks", samples.objects(), SETTING, inputs={})
    return store


def universal(store: AtlasStore) -> Any:
    return store.recall("object_masks", SETTING, "universal")


def test_what_is_handed_over_is_what_was_read(store: AtlasStore) -> None:
    handed, read = universal(store), store.read("object_masks", SETTING, "universal")
    assert handed is universal(store)
    assert handed.pairs is None
    assert handed.setting == read.setting
    assert handed.universal.names == read.universal.names
    for one, other in (
        (handed.universal.bits, read.universal.bits),
        (handed.jaccard_ast, read.jaccard_ast),
        (handed.jaccard_builtin, read.jaccard_builtin),
    ):
        assert np.array_equal(one, other)


def test_what_is_handed_over_cannot_be_changed(store: AtlasStore) -> None:
    with pytest.raises(ValueError, match="read-only"):
        universal(store).universal.bits[:] = True


def test_pair_masks_are_not_kept(store: AtlasStore) -> None:
    assert store.recall("object_masks", SETTING) is not store.recall("object_masks", SETTING)


def in_place(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        folder = file["universal_masks/layer_0"]
        folder[next(iter(folder))][0] ^= True


def by_another_file(path: Path) -> None:
    data = path.read_bytes()
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.unlink()
    path.write_bytes(data)
    os.utime(path, ns=times)
    in_place(path)
    os.utime(path, ns=times)


@pytest.mark.parametrize("change", [in_place, by_another_file])
def test_a_changed_file_is_read(store: AtlasStore, change: Callable[[Path], None]) -> None:
    universal(store)
    change(Path(store.path("object_masks", SETTING).path))
    with pytest.raises(ArtifactError, match="not what was written"):
        universal(store)


def test_a_damaged_file_is_not_covered_up(store: AtlasStore) -> None:
    path = Path(store.path("object_masks", SETTING).path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ArtifactError, match="damaged"):
        universal(store)
    path.unlink()
    with pytest.raises(MissingArtifactError):
        universal(store)


def test_only_so_many_values_are_kept(tmp_path: Path) -> None:
    recent, reads = Recent(), []

    def read(i: int) -> pl.DataFrame:
        reads.append(i)
        return pl.DataFrame({"i": [i]})

    paths = [tmp_path / str(i) for i in range(70)]
    for path in paths:
        path.touch()
    for _ in range(2):
        for i, path in enumerate(paths):
            assert recent.recall([path], None, lambda i=i: read(i)).item() == i
    assert len(reads) == 140
    recent.recall([paths[-1]], None, lambda: read(0))
    assert len(reads) == 140
