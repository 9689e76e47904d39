"""Texts of an HDF5 file that HDF5 would never finish to read."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import h5py
import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.storage.hdf5 import heaps
from atlas_assets.storage.hdf5.heaps import require_heaps_that_end
from atlas_assets.storage.hdf5.reader import Hdf5Reader


def with_texts(path: Path, **options: str) -> bytearray:
    with h5py.File(path, "w", **options) as file:
        for number in range(9):
            file.attrs[f"text {number}"] = "x" * (number + 1)
    return bytearray(path.read_bytes())


def size_of_object(data: bytearray, index: int) -> int:
    """Where the size of one of the first eight texts lies."""
    return data.index(b"GCOL") + 16 + 24 * (index - 1) + 8


@pytest.mark.parametrize("options", [{}, {"libver": "latest"}])
@pytest.mark.parametrize("index", [1, 4, 8])
def test_a_size_that_leads_to_nowhere(tmp_path: Path, options: dict[str, str], index: int) -> None:
    data = with_texts(tmp_path / "a.h5", **options)
    require_heaps_that_end(tmp_path / "a.h5")
    data[size_of_object(data, index) + 1] = 2  # 512 bytes more: into the zeros of the free space
    (tmp_path / "a.h5").write_bytes(data)
    for refuse in (require_heaps_that_end, Hdf5Reader):
        for source in (tmp_path / "a.h5", bytes(data)):
            with pytest.raises(ArtifactError, match="free space of 0 bytes"):
                refuse(source)


@pytest.mark.parametrize("replaced", [True, False])
def test_a_file_changed_or_replaced_is_searched_again_even_at_its_former_time(
    tmp_path: Path, replaced: bool
) -> None:
    path = tmp_path / "a.h5"
    data = with_texts(path)
    require_heaps_that_end(path)
    before = path.stat()
    data[size_of_object(data, 4) + 1] = 2
    if replaced:
        path.unlink()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ArtifactError, match="free space of 0 bytes"):
        require_heaps_that_end(path)


def test_what_hdf5_finds_itself_is_left_to_it(tmp_path: Path) -> None:
    data = with_texts(tmp_path / "a.h5")
    path = tmp_path / "b.h5"
    beyond = data.copy()
    beyond[size_of_object(data, 4) + 6] = 1
    start = data.index(b"GCOL")
    for damaged in (b"", b"GCOL", bytes(100), beyond, data[: start + 20], data[: start + 5]):
        path.write_bytes(damaged)
        require_heaps_that_end(path)


@pytest.mark.parametrize("before", [0, 1, 4, 7, 8])
def test_a_heap_is_found_where_two_windows_of_the_search_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    monkeypatch.setattr(heaps, "_WINDOW", mmap.ALLOCATIONGRANULARITY)
    data = with_texts(tmp_path / "a.h5")
    start = 4 * mmap.ALLOCATIONGRANULARITY - before
    free_space_of_nothing = b"GCOL\x01\0\0\0" + (64).to_bytes(8, "little") + bytes(64)
    (tmp_path / "a.h5").write_bytes(data.ljust(start, b"\0") + free_space_of_nothing)
    with pytest.raises(ArtifactError, match=f"at byte {start} that ends"):
        require_heaps_that_end(tmp_path / "a.h5")
