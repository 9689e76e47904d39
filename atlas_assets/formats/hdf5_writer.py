"""Writes HDF5 as an atlas uses it: one small dataset per unit and layer, in bulk.

A mask file holds some 11,000 vectors of 2,048. Through h5py's usual interface each costs far more
than its bytes, so a file is built in memory through the low-level one, with one creation property
list for all vectors, and deflated here. The files stay what any HDF5 reader (1.10 or later)
expects. Object times are not stored: same content, same bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5d, h5f, h5g, h5p, h5s, h5t

Array = npt.NDArray[Any]

#: where a file keeps its attributes, its name lists and its provenance
METADATA = "metadata"
#: the in-memory file grows in steps of this many bytes
_GROWTH = 1 << 22
#: of deflate; with run lengths alone it makes no difference beyond "compress at all"
_LEVEL = 1


class Hdf5Writer:
    """Builds a file in memory; `finish` gives its bytes."""

    def __init__(self) -> None:
        access = h5p.create(h5p.FILE_ACCESS)
        access.set_fapl_core(_GROWTH, False)
        access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)
        creation = h5p.create(h5p.FILE_CREATE)
        creation.set_obj_track_times(False)
        self._id = h5f.create(b"atlas.h5", h5f.ACC_TRUNC, creation, access)
        self._group_creation = h5p.create(h5p.GROUP_CREATE)
        self._group_creation.set_obj_track_times(False)

    def vectors(
        self, group: str, names: Sequence[str], values: Array, *, shuffle: bool = False
    ) -> None:
        """Writes ``/{group}/layer_{L}/{name}`` for all layers and names.

        Args:
            group: top-level group.
            names: unit names.
            values: ``[units, layers, width]``; bool becomes HDF5's enumeration of FALSE and TRUE.
            shuffle: whether the bytes of a vector are regrouped by significance before they are
                deflated, which pays for whole numbers.
        """
        _, n_layers, width = values.shape
        values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
        file_type = h5t.py_create(values.dtype)
        space = h5s.create_simple((width,))
        creation = _vector_creation(width, shuffle)
        parent = self._group(self._id, group)
        keys = [name.encode() for name in names]
        for layer in range(n_layers):
            folder = self._group(parent, f"layer_{layer}")
            for row, key in enumerate(keys):
                dataset = h5d.create(folder, key, file_type, space, creation)
                dataset.write_direct_chunk((0,), _deflated(values[row, layer], shuffle))

    def scalars(self, group: str, names: Sequence[str], values: Array) -> None:
        """Writes ``/{group}/{name}``, one int64 scalar each, as the release does."""
        parent = self._group(self._id, group)
        space = h5s.create(h5s.SCALAR)
        creation = h5p.create(h5p.DATASET_CREATE)
        creation.set_layout(h5d.COMPACT)
        creation.set_obj_track_times(False)
        for name, value in zip(names, values.astype(np.int64), strict=True):
            dataset = h5d.create(parent, name.encode(), h5t.STD_I64LE, space, creation)
            dataset.write(h5s.ALL, h5s.ALL, np.asarray(value))

    def matrices(self, group: str, matrices: Mapping[str, Array]) -> None:
        """Writes ``/{group}/{name}`` as they are."""
        folder = h5py.Group(self._group(self._id, group))
        for name, matrix in matrices.items():
            folder.create_dataset(name, data=matrix, track_times=False)

    def metadata(
        self, attributes: Mapping[str, str | int | float], lists: Mapping[str, Sequence[str]]
    ) -> None:
        """Writes ``/metadata``: attributes, and lists of names as string datasets."""
        folder = h5py.Group(self._group(self._id, METADATA))
        for key, value in attributes.items():
            folder.attrs[key] = value
        for key, names in lists.items():
            folder.create_dataset(
                key, data=list(names), shape=(len(names),), dtype=h5py.string_dtype()
            )

    def finish(self) -> bytes:
        """Closes the file and gives its bytes."""
        h5f.flush(self._id)
        image: bytes = self._id.get_file_image()
        self._id.close()
        return image

    def _group(self, parent: Any, name: str) -> Any:
        return h5g.create(parent, name.encode(), gcpl=self._group_creation)


def _vector_creation(width: int, shuffle: bool) -> Any:
    """How vectors are stored: one deflated chunk each, no times."""
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_chunk((width,))
    if shuffle:
        creation.set_shuffle()
    creation.set_deflate(_LEVEL)
    creation.set_obj_track_times(False)
    return creation


def _deflated(vector: Array, shuffle: bool) -> bytes:
    """The chunk that HDF5's own filters would store, from the strategy that suits our vectors.

    HDF5 always searches for repeated strings, which masks, counts and sums hardly have; run lengths
    and Huffman codes alone take half the time and give smaller files. Any inflate reads them.
    """
    data: Array = vector.view(np.uint8).reshape(vector.size, -1)
    plain = data.T.tobytes() if shuffle else data.tobytes()
    window = min(15, max(9, (len(plain) - 1).bit_length() + 1))
    deflate = zlib.compressobj(_LEVEL, wbits=window, strategy=zlib.Z_RLE)
    return deflate.compress(plain) + deflate.flush()
