"""Damage below the schema: what is not HDF5, what is cut short, what a flipped byte does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.storage.hdf5.reader import Hdf5Reader
from atlas_assets.storage.masks import ObjectMasksFile
from atlas_assets_tests.storage.defects import refusing
from atlas_assets_tests.storage.samples import equal, objects, provenance

MASKS = ObjectMasksFile()
VALUE = objects(layers=2, width=8)


@pytest.fixture(scope="module")
def data() -> bytes:
    return MASKS.encode(VALUE, provenance(payload_sha256=VALUE.digest()))


@pytest.mark.parametrize("on_disk", [True, False])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_named(
    tmp_path: Path, data: bytes, share: float, on_disk: bool
) -> None:
    cut = data[: int(len(data) * share)]
    path = tmp_path / "13_object_masks.h5"
    path.write_bytes(cut)
    where = path if on_disk else f"{len(cut)} bytes in memory"
    with refusing(ArtifactError, "HDF5 file is damaged", where, "truncated", "again"):
        MASKS.read(path if on_disk else cut)


@pytest.mark.parametrize("content", [b"", b"CONTENT", b"CDF\x01 and more, as older netCDF begins"])
def test_what_is_not_hdf5_is_said_to_be_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(content)
    found = repr(content[:8]) if content else "an empty file"
    with refusing(ArtifactError, "not an HDF5 file", path, found):
        MASKS.read(path)


def test_no_flipped_byte_goes_unnoticed(data: bytes) -> None:
    """Each 61st byte is changed: the file is refused, or its content is what it was."""
    survivors = 0
    for position in range(0, len(data), 61):
        changed = bytearray(data)
        changed[position] ^= 0x10
        try:
            value, _ = MASKS.read(bytes(changed))
        except ArtifactError:
            continue
        survivors += 1
        assert equal(value, VALUE), position
    assert survivors < len(data) / 61


def test_a_file_may_be_replaced_while_it_is_read(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(data)
    with Hdf5Reader(path) as reader:
        other = objects(layers=2, width=9)
        MASKS.write(path, other, provenance(payload_sha256=other.digest()))
        names, bits = reader.vectors("pair_masks", np.bool_)
    assert names == VALUE.pairs.names
    assert np.array_equal(bits, VALUE.pairs.bits)
