"""The same files in other ways: as the release writes and reads them, and as deflated chunks."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5d, h5p, h5s, h5t

from atlas_assets.stages.masks.masks import Masks, ObjectMasks


def write(path: Path, value: ObjectMasks) -> None:
    """Pair masks and universal masks, with h5py's default layout."""
    with h5py.File(path, "w") as file:
        _datasets(file, "pair_masks", value.whole_pairs())
        _datasets(file, "universal_masks", value.universal)


def _datasets(file: h5py.File, group: str, masks: Masks) -> None:
    for name, unit in zip(masks.names, masks.bits, strict=True):
        for layer, bits in enumerate(unit):
            file.create_dataset(f"{group}/layer_{layer}/{name}", data=bits, compression="gzip")


Vectors = Mapping[str, tuple[Sequence[str], npt.NDArray[Any]]]


def write_chunks(path: Path, vectors: Vectors) -> None:
    """Vectors ``[units, layers, width]`` by group, each deflated by us and handed to HDF5 whole."""
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        for group, (names, values) in vectors.items():
            creation = h5p.create(h5p.DATASET_CREATE)
            creation.set_chunk(values.shape[2:])
            creation.set_deflate(1)
            creation.set_obj_track_times(False)
            kind, space = h5t.py_create(values.dtype), h5s.create_simple(values.shape[2:])
            for layer in range(values.shape[1]):
                folder = file.create_group(f"{group}/layer_{layer}").id
                for name, vector in zip(names, values[:, layer], strict=True):
                    dataset = h5d.create(folder, name.encode(), kind, space, creation)
                    deflate = zlib.compressobj(1, strategy=zlib.Z_RLE)
                    chunk = deflate.compress(vector.tobytes()) + deflate.flush()
                    dataset.write_direct_chunk((0,), chunk)


def read(path: Path) -> dict[str, npt.NDArray[np.bool_]]:
    """All vectors by their key."""
    found: dict[str, npt.NDArray[np.bool_]] = {}
    with h5py.File(path) as file:
        for group in file:
            for layer in file[group]:
                for name in file[group][layer]:
                    found[f"{group}/{layer}/{name}"] = file[group][layer][name][:]
    return found
