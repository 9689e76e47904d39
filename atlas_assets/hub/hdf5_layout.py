"""What is in an HDF5 file, in a few lines for the manifest of what is published."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import h5py

from atlas_assets.errors import within
from atlas_assets.storage.hdf5 import structure

#: datasets of a group that its layout names one by one
_NAMED = 4
_LAYER = re.compile(r"layer_\d+")


def hdf5_layout(path: Path) -> tuple[str, ...]:
    """Return groups, datasets and attributes of a file; layers, and units of a layer, once.

    A line reads ``/universal_masks/layer_0 … layer_7/ast__AnnAssign … builtin__zip (106): bool
    (2048)``.
    """
    with h5py.File(path, "r") as file, within(path.name):
        return tuple(_lines(file, ""))


def _lines(group: h5py.Group, prefix: str) -> Iterator[str]:
    if group.attrs:
        yield f"{prefix or '/'}: attributes {', '.join(sorted(group.attrs))}"
    # layer_2 before layer_10
    names = structure.names(group.id)  # a link may lead to another file
    names.sort(key=lambda name: (len(name) if _LAYER.fullmatch(name) else 0, name))
    datasets = [name for name in names if group.get(name, getclass=True) is h5py.Dataset]
    if len(names) > 1 and all(_LAYER.fullmatch(name) for name in names):
        layers, first = f"{prefix}/{names[0]} … {names[-1]}", group[names[0]]
        if names[0] in datasets:
            yield f"{layers}: {_type_and_shape(first)}"
        else:
            yield from _lines(first, layers)
        return
    if len(datasets) > _NAMED:
        told = f"{datasets[0]} … {datasets[-1]} ({len(datasets):,})"
        yield f"{prefix}/{told}: {_type_and_shape(group[datasets[0]])}"
    else:
        yield from (f"{prefix}/{name}: {_type_and_shape(group[name])}" for name in datasets)
    for name in names:
        if name not in datasets:
            yield from _lines(group[name], f"{prefix}/{name}")


def _type_and_shape(dataset: h5py.Dataset) -> str:
    is_text = h5py.check_string_dtype(dataset.dtype) is not None
    dtype = "string" if is_text else dataset.dtype.name
    shape = " × ".join(f"{length:,}" for length in dataset.shape)
    return f"{dtype} ({shape})" if shape else f"{dtype}, one value"
