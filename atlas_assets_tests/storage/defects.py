"""What may be wrong with an HDF5 file, put into a sound one, and how it must be named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from atlas_assets.errors import ArtifactError, AtlasError
from atlas_assets.storage.codec import Codec
from atlas_assets.storage.masks import ObjectMasksFile
from atlas_assets_tests.storage.samples import objects, record_of

OBJECTS = ObjectMasksFile()
Edit = Callable[[h5py.File], None]


def with_masks(path: Path, **fields: object) -> Path:
    """Object masks whose record has these fields besides those that it should have."""
    OBJECTS.write(path, objects(), record_of(OBJECTS, objects(), **fields))
    return path


def replaced(key: str, value: object = None) -> Edit:
    """The dataset or group at ``key`` taken out, or another in its place."""

    def edit(file: h5py.File) -> None:
        del file[key]
        if value is not None:
            file[key] = value

    return edit


def attribute(key: str, value: object) -> Edit:
    """An attribute of the metadata set to ``value``."""

    def edit(file: h5py.File) -> None:
        file["metadata"].attrs[key] = value

    return edit


def edit_in_place(path: Path, *edits: Edit) -> None:
    with h5py.File(path, "r+") as file:
        for edit in edits:
            edit(file)


@contextmanager
def refusing(kind: type[AtlasError], *said: object) -> Iterator[None]:
    """What is refused, with an error that says all this."""
    with pytest.raises(kind) as caught:
        yield
    for each in said:
        assert str(each) in str(caught.value)


def require_vectors(file: h5py.File, group: str, names: Sequence[str], values: np.ndarray) -> None:
    """Plain h5py sees these values in a group, a dataset for each name and layer."""
    for row, name in enumerate(names):
        for layer, vector in enumerate(values[row]):
            dataset = file[f"{group}/layer_{layer}/{name}"]
            assert dataset.dtype == values.dtype
            assert np.array_equal(dataset[:], vector)


def require_named(codec: Codec[Any], path: Path, where: str, expected: str, found: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        codec.read(path)
    error = caught.value
    assert str(path) in str(error.where)
    assert where in str(error.where)
    assert expected in str(error.expected)
    assert found in str(error.found)
    assert error.remedy
