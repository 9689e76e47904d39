"""A few lines about what an HDF5 file holds, read off the file itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import h5py

#: datasets of a group that are listed one by one
_LISTED = 4
_LAYER = re.compile(r"layer_\d+")


def hdf5_layout(path: Path) -> tuple[str, ...]:
    """Return groups, datasets and attributes of a file; layers, and units of a layer, once.

    A line reads ``/universal_masks/layer_0 … layer_7/ast__AnnAssign … builtin__zip (106): bool
    (2048)``.
    """
    with h5py.File(path, "r") as file:
        return tuple(_lines(file, ""))


def _lines(group: h5py.Group, prefix: str) -> Iterator[str]:
    if group.attrs:
        yield f"{prefix or '/'}: attributes {', '.join(sorted(group.attrs))}"
    names = sorted(group, key=_natural)
    if len(names) > 1 and all(_LAYER.fullmatch(name) for name in names):
        yield from _lines(group[names[0]], f"{prefix}/{names[0]} … {names[-1]}")
        return
    datasets = [name for name in names if group.get(name, getclass=True) is h5py.Dataset]
    if len(datasets) > _LISTED:
        told = f"{datasets[0]} … {datasets[-1]} ({len(datasets):,})"
        yield f"{prefix}/{told}: {_of(group[datasets[0]])}"
    else:
        yield from (f"{prefix}/{name}: {_of(group[name])}" for name in datasets)
    for name in names:
        if name not in set(datasets):
            yield from _lines(group[name], f"{prefix}/{name}")


def _of(dataset: h5py.Dataset) -> str:
    is_text = h5py.check_string_dtype(dataset.dtype) is not None
    dtype = "string" if is_text else dataset.dtype.name
    shape = " × ".join(f"{length:,}" for length in dataset.shape)
    return f"{dtype} ({shape})" if shape else f"{dtype}, one value"


def _natural(name: str) -> tuple[int, str]:
    """Return a key that sorts ``layer_2`` before ``layer_10``."""
    return (int(name.removeprefix("layer_")) if _LAYER.fullmatch(name) else 0), name
