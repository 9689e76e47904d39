"""Values of many units in an HDF5 file, of which some units are read at a time."""

from __future__ import annotations

import io
import os
import weakref
from typing import IO, Any

import h5py
import numpy as np

from atlas_assets.errors import unsound
from atlas_assets.files.locations import Source, content, label, local_path
from atlas_assets.files.steady import busy
from atlas_assets.storage.hdf5.writer import Array


class Stacked:
    """Values ``[units, layers, width]``, one dataset ``[units, width]`` per layer.

    The file stays open as long as the values are held. HDF5 is not told its path: it refuses to
    open a file twice that is locked in two ways. What is read once a program has changed the file
    is refused, since it need not be what was checked.

    Args:
        source: a file that `Hdf5Reader` has looked at.
        group: the group of the datasets, ``layer_0`` and so on, of one shape and type.
        n_layers: their number.
    """

    def __init__(self, source: Source, group: str, n_layers: int) -> None:
        local = local_path(source)
        file = local.open("rb", buffering=0) if local else io.BytesIO(content(source))
        hdf5 = h5py.File(file, "r")
        weakref.finalize(self, _close, hdf5, file)
        self._file, self._state = file, _state_of(file)
        self._where = f"{label(source)}, /{group}"
        self._layers = [hdf5[f"{group}/layer_{layer}"] for layer in range(n_layers)]
        units, width = self._layers[0].shape
        self.shape: tuple[int, ...] = (units, n_layers, width)
        self.dtype: np.dtype[Any] = self._layers[0].dtype

    def __getitem__(self, units: slice, /) -> Array:
        start, stop, _ = units.indices(self.shape[0])
        values = np.empty((max(0, stop - start), *self.shape[1:]), self.dtype)
        for layer, dataset in enumerate(self._layers):
            try:
                values[:, layer] = dataset[start:stop]
            except OSError as error:
                place, expected = f"{self._where}/layer_{layer}", "a complete HDF5 file"
                raise unsound("the HDF5 file is damaged", place, expected, str(error)) from error
        if _state_of(self._file) != self._state:
            raise busy(self._where, "another size or time of change than when it was opened")
        return values


def _state_of(file: IO[bytes]) -> tuple[int, int] | None:
    """What shows that the content of a file on this machine was changed."""
    if isinstance(file, io.BytesIO):
        return None
    about = os.fstat(file.fileno())
    return about.st_size, about.st_mtime_ns


def _close(hdf5: h5py.File, file: IO[bytes]) -> None:
    hdf5.close()
    file.close()
