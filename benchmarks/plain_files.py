"""A mask file as the release writes and its loaders read it: h5py, one dataset at a time, gzip."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from atlas_assets.stages.masks.masks import Masks, ObjectMasks


def write(path: Path, value: ObjectMasks) -> None:
    """Pair masks and universal masks, with h5py's default layout."""
    with h5py.File(path, "w") as file:
        for group, masks in (("pair_masks", value.pairs), ("universal_masks", value.universal)):
            if masks is not None:
                _datasets(file, group, masks)


def _datasets(file: h5py.File, group: str, masks: Masks) -> None:
    for name, unit in zip(masks.names, masks.bits, strict=True):
        for layer, bits in enumerate(unit):
            file.create_dataset(f"{group}/layer_{layer}/{name}", data=bits, compression="gzip")


def read(path: Path) -> dict[str, npt.NDArray[np.bool_]]:
    """All vectors by their key."""
    found: dict[str, npt.NDArray[np.bool_]] = {}
    with h5py.File(path) as file:
        for group in file:
            for layer in file[group]:
                for name in file[group][layer]:
                    found[f"{group}/{layer}/{name}"] = file[group][layer][name][:]
    return found
