"""Vectors written and read in bulk: HDF5 must not be able to tell, and nothing may be misread."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from atlas_assets.errors import ArtifactError
from atlas_assets.storage.hdf5 import bulk as hdf5_bulk
from atlas_assets.storage.hdf5.headers import checksums
from atlas_assets.storage.hdf5.reader import Hdf5Reader
from atlas_assets.storage.hdf5.writer import Hdf5Writer
from atlas_assets.storage.masks import ObjectMasksFile, layer_part
from atlas_assets_tests.storage.release_files import write_object_masks
from atlas_assets_tests.storage.samples import equal, objects, provenance

NAMES = tuple(f"u{i:03}" for i in range(40))
Create = Callable[[h5py.Group, str, np.ndarray], object]


def values(dtype: str, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 3, size=(len(NAMES), 3, 100)) * rng.random() * 50).astype(dtype)


def image(found: np.ndarray, **options: bool) -> bytes:
    writer = Hdf5Writer()
    writer.vectors("g", NAMES, found, **options)
    return writer.finish()


@pytest.mark.parametrize("dtype", ["?", "<i4", "<f4", "<f8", "<i8"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_h5py_reads_what_is_written_in_bulk(tmp_path: Path, dtype: str, shuffle: bool) -> None:
    found = values(dtype)
    path = tmp_path / "x.h5"
    path.write_bytes(image(found, shuffle=shuffle))
    with h5py.File(path) as file:
        assert list(file["g"]) == ["layer_0", "layer_1", "layer_2"]
        for layer in range(3):
            folder = file[f"g/layer_{layer}"]
            assert tuple(folder) == NAMES
            for row, name in enumerate(NAMES):
                assert folder[name].dtype == found.dtype
                assert np.array_equal(folder[name][:], found[row, layer])
    with Hdf5Reader(path) as reader:
        names, read = reader.vectors("g", dtype)
    assert names == NAMES
    assert np.array_equal(read, found)


def test_our_own_files_are_left_to_hdf5_in_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []

    def counted(*arguments: object) -> np.ndarray:
        rows.append(hdf5_bulk.read_vectors(*arguments))  # type: ignore[arg-type]
        return rows[-1]

    monkeypatch.setattr("atlas_assets.storage.hdf5.reader.read_vectors", counted)
    with Hdf5Reader(image(values("?"))) as reader:
        reader.vectors("g", np.bool_)
    assert [left.size for left in rows] == [0, 0, 0]


def plain(group: h5py.Group, name: str, vector: np.ndarray) -> object:
    return group.create_dataset(name, data=vector)


def gzipped(group: h5py.Group, name: str, vector: np.ndarray) -> object:
    return group.create_dataset(name, data=vector, compression="gzip")


def several_chunks(group: h5py.Group, name: str, vector: np.ndarray) -> object:
    return group.create_dataset(name, data=vector, compression="gzip", chunks=(30,))


def another_filter(group: h5py.Group, name: str, vector: np.ndarray) -> object:
    return group.create_dataset(name, data=vector, compression="gzip", fletcher32=True)


def big_endian(group: h5py.Group, name: str, vector: np.ndarray) -> object:
    return group.create_dataset(name, data=vector.astype(">i4"), compression="gzip")


def behind_a_link(group: h5py.Group, name: str, vector: np.ndarray) -> object:
    target = f"/elsewhere{group.name}/{name}"
    group.file.create_dataset(target, data=vector, compression="gzip")
    group[name] = h5py.SoftLink(target)
    return group


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


def never_written(group: h5py.Group, name: str, vector: np.ndarray) -> object:
    if name == NAMES[0]:
        options = {"dtype": vector.dtype, "compression": "gzip", "fillvalue": int(vector[0])}
        vector[:] = vector[0]
        return group.create_dataset(name, vector.shape, chunks=vector.shape, **options)
    return gzipped(group, name, vector)


def chosen_at_random(group: h5py.Group, name: str, vector: np.ndarray) -> object:
    ways = (plain, gzipped, several_chunks, another_filter, big_endian, behind_a_link)
    return ways[int(name[1:]) * 7 % len(ways)](group, name, vector)


@pytest.mark.parametrize("libver", ["earliest", "v110", "latest"])
@pytest.mark.parametrize(
    "create",
    [
        plain,
        gzipped,
        several_chunks,
        another_filter,
        big_endian,
        behind_a_link,
        with_an_attribute,
        a_filter_skipped,
        never_written,
        chosen_at_random,
    ],
)
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


def test_files_that_were_changed_or_repacked_by_h5py_are_read(tmp_path: Path) -> None:
    found = values("?")
    path = tmp_path / "x.h5"
    path.write_bytes(image(found))
    with h5py.File(path, "r+") as file:
        file["g/layer_1/u007"][:] = ~found[7, 1]
        file["g/layer_2/u008"].attrs["note"] = "kept"
        del file["g/layer_0/u009"]
        file["g/layer_0"].create_dataset("u009", data=found[9, 0])
    changed = found.copy()
    changed[7, 1] = ~found[7, 1]
    with h5py.File(path) as file, h5py.File(tmp_path / "copy.h5", "w") as copy:
        file.copy("g", copy)
    for name in ("x.h5", "copy.h5"):
        with Hdf5Reader(tmp_path / name) as reader:
            assert np.array_equal(reader.vectors("g", np.bool_)[1], changed)


def test_a_vector_of_another_width_is_named_wherever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(image(values("?")))
    with h5py.File(path, "r+") as file:
        del file["g/layer_1/u030"]
        file["g/layer_1"].create_dataset("u030", data=np.zeros(99, bool), compression="gzip")
    with Hdf5Reader(path) as reader, pytest.raises(ArtifactError) as caught:
        reader.vectors("g", np.bool_)
    assert "/g/layer_1/u030" in str(caught.value)


@pytest.mark.parametrize("stored", [b"\x78\x9c\x03\x00\x00\x00\x00\x01", b"garbage"])
def test_a_chunk_that_does_not_inflate_to_the_vector_is_named(
    tmp_path: Path, stored: bytes
) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(image(values("?")))
    with h5py.File(path, "r+") as file:
        file["g/layer_1/u030"].id.write_direct_chunk((0,), stored)
    with Hdf5Reader(path) as reader, pytest.raises(ArtifactError) as caught:
        reader.vectors("g", np.bool_)
    assert "/g/layer_1/u030" in str(caught.value.where)


def test_one_layer_alone_is_what_it_is_in_the_whole(tmp_path: Path) -> None:
    found = values("?")
    with Hdf5Reader(image(found)) as reader:
        names, read = reader.vectors("g", np.bool_, layer=1)
    assert names == NAMES
    assert np.array_equal(read, found[:, 1:2])


def test_a_layer_of_a_mask_file_is_read_without_the_others(tmp_path: Path) -> None:
    value = objects()
    path = tmp_path / "x.h5"
    masks = ObjectMasksFile()
    masks.write(path, value, provenance(payload_sha256=value.digest()))
    with h5py.File(path, "r+") as file:
        file["pair_masks/layer_1/If__list"].id.write_direct_chunk((0,), b"garbage")
    with pytest.raises(ArtifactError, match="damaged"):
        masks.read(path)
    read, _ = masks.read(path, part=layer_part(0))
    assert read.pairs is not None
    assert value.pairs is not None
    assert np.array_equal(read.pairs.bits, value.pairs.bits[:, :1])
    assert np.array_equal(read.universal.bits, value.universal.bits[:, :1])
    assert np.array_equal(read.jaccard_ast, value.jaccard_ast)


def test_files_are_smaller_than_those_of_the_release(tmp_path: Path) -> None:
    value = objects()
    path = tmp_path / "ours.h5"
    ObjectMasksFile().write(path, value, provenance(payload_sha256=value.digest()))
    write_object_masks(tmp_path / "release.h5", value)
    assert path.stat().st_size < (tmp_path / "release.h5").stat().st_size
    assert equal(ObjectMasksFile().read(tmp_path / "release.h5")[0], value)


def test_bytes_do_not_depend_on_what_the_process_wrote_before() -> None:
    """The skeleton of a file is kept for the next; a fresh process has none."""
    image(values("?", seed=1))
    script = (
        "import hashlib; from atlas_assets_tests.storage.hdf5 import test_bulk as t;"
        "print(hashlib.sha256(t.image(t.values('?', seed=2))).hexdigest())"
    )
    fresh = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert hashlib.sha256(image(values("?", seed=2))).hexdigest() == fresh.stdout.strip()


def lookup3(data: bytes) -> int:
    """Jenkins' hash, one byte string at a time, from his description of it."""
    mask = 0xFFFFFFFF

    def rot(word: int, by: int) -> int:
        return ((word << by) | (word >> (32 - by))) & mask

    a = b = c = (0xDEADBEEF + len(data)) & mask
    while True:
        block, data = data[:12].ljust(12, b"\0"), data[12:]
        words = [int.from_bytes(block[i : i + 4], "little") for i in (0, 4, 8)]
        a, b, c = (a + words[0]) & mask, (b + words[1]) & mask, (c + words[2]) & mask
        if not data:
            break
        a = ((a - c) & mask) ^ rot(c, 4)
        c = (c + b) & mask
        b = ((b - a) & mask) ^ rot(a, 6)
        a = (a + c) & mask
        c = ((c - b) & mask) ^ rot(b, 8)
        b = (b + a) & mask
        a = ((a - c) & mask) ^ rot(c, 16)
        c = (c + b) & mask
        b = ((b - a) & mask) ^ rot(a, 19)
        a = (a + c) & mask
        c = ((c - b) & mask) ^ rot(b, 4)
        b = (b + a) & mask
    c = ((c ^ b) - rot(b, 14)) & mask
    a = ((a ^ c) - rot(c, 11)) & mask
    b = ((b ^ a) - rot(a, 25)) & mask
    c = ((c ^ b) - rot(b, 16)) & mask
    a = ((a ^ c) - rot(c, 4)) & mask
    b = ((b ^ a) - rot(a, 14)) & mask
    return ((c ^ b) - rot(b, 24)) & mask


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 300))),
)
def test_the_checksum_is_that_of_hdf5(rows: np.ndarray) -> None:
    assert checksums(rows).tolist() == [lookup3(row.tobytes()) for row in rows]
