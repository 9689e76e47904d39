"""Vectors as h5py may store them are read as they are, and what is wrong is named."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.storage.hdf5.reader import Hdf5Reader
from atlas_assets_tests.storage.defects import refusing
from atlas_assets_tests.storage.hdf5.vectors import NAMES, image, values

Create = Callable[[h5py.Group, str, np.ndarray], Any]


def compact(group: h5py.Group, name: str, vector: np.ndarray) -> object:
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.COMPACT)
    space, kind = h5py.h5s.create_simple(vector.shape), h5py.h5t.py_create(vector.dtype)
    dataset = h5py.h5d.create(group.id, name.encode(), kind, space, creation)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, vector)
    return dataset


def stored(**options: object) -> Create:
    return lambda group, name, vector: group.create_dataset(name, data=vector, **options)


def converted(kind: str) -> Create:
    return lambda group, name, vector: gzipped(group, name, vector.astype(kind))


def with_an_attribute(group: h5py.Group, name: str, vector: np.ndarray) -> object:
    dataset = gzipped(group, name, vector)
    if int(name[1:]) % 2:
        group[name].attrs["note"] = "odd"
    return dataset


def a_filter_skipped(group: h5py.Group, name: str, vector: np.ndarray) -> object:
    options = {"dtype": vector.dtype, "compression": "gzip", "shuffle": True}
    dataset = group.create_dataset(name, vector.shape, chunks=vector.shape, **options)
    dataset.id.write_direct_chunk((0,), zlib.compress(vector.tobytes()), filter_mask=1)
    return dataset


gzipped = stored(compression="gzip")
several_chunks = stored(compression="gzip", chunks=(30,))
checksummed = stored(compression="gzip", fletcher32=True)
big_endian, wide = converted(">i4"), converted("<i8")
WAYS = (stored(), gzipped, several_chunks, checksummed, big_endian, wide, compact)


def in_turns(group: h5py.Group, name: str, vector: np.ndarray) -> object:
    return WAYS[int(name[1:]) * 7 % len(WAYS)](group, name, vector)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "x.h5"
    path.write_bytes(image(values("?")))
    return path


@pytest.mark.parametrize("libver", ["earliest", "v110", "latest"])
@pytest.mark.parametrize("create", [*WAYS, with_an_attribute, a_filter_skipped, in_turns])
def test_whatever_h5py_writes_is_read(tmp_path: Path, libver: str, create: Create) -> None:
    found = values("<i4")
    with h5py.File(tmp_path / "x.h5", "w", libver=libver) as file:
        for layer in range(3):
            group = file.create_group(f"g/layer_{layer}")
            for row in np.random.default_rng(0).permutation(len(NAMES)):
                create(group, NAMES[row], found[row, layer])
    with Hdf5Reader(tmp_path / "x.h5") as reader:
        names, read = reader.vectors("g", np.int32)
    assert names == NAMES
    assert np.array_equal(read, found)


def test_files_that_were_changed_or_repacked_by_h5py_are_read(path: Path) -> None:
    found = values("?")
    with h5py.File(path, "r+") as file:
        file["g/layer_1/u007"][:] = ~found[7, 1]
        file["g/layer_2/u008"].attrs["note"] = "kept"
        del file["g/layer_0/u009"]
        file["g/layer_0"].create_dataset("u009", data=found[9, 0])
    changed = found.copy()
    changed[7, 1] = ~found[7, 1]
    copied = path.with_name("copy.h5")
    with h5py.File(path) as file, h5py.File(copied, "w") as copy:
        file.copy("g", copy)
    for file_path in (path, copied):
        with Hdf5Reader(file_path) as reader:
            assert np.array_equal(reader.vectors("g", np.bool_)[1], changed)


@pytest.mark.parametrize("chunk", [None, b"\x78\x9c\x03\x00\x00\x00\x00\x01", b"garbage"])
def test_a_vector_of_another_width_or_that_does_not_inflate_is_named(
    path: Path, chunk: bytes | None
) -> None:
    with h5py.File(path, "r+") as file:
        del file["g/layer_1/u030"]
        vector = np.zeros(99 if chunk is None else 100, bool)
        dataset = gzipped(file["g/layer_1"], "u030", vector)
        if chunk is not None:
            dataset.id.write_direct_chunk((0,), chunk)
    with Hdf5Reader(path) as reader, refusing(ArtifactError, "/g/layer_1/u030"):
        reader.vectors("g", np.bool_)


def test_two_files_in_memory_are_not_mixed_up() -> None:
    """HDF5 takes two open files of one name for the same."""
    first, second = values("?", seed=1), values("?", seed=2)
    with Hdf5Reader(image(first)) as one, Hdf5Reader(image(second)) as other:
        assert np.array_equal(one.vectors("g", np.bool_)[1], first)
        assert np.array_equal(other.vectors("g", np.bool_)[1], second)
