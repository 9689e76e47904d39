"""Writes HDF5 as an atlas uses it: one small dataset per unit and layer, many of them.

A mask file holds some 11,000 vectors of 2,048 values, and HDF5 takes longer to create a dataset
than to store its values. The nine mask files of a sweep hold the same datasets, though. So HDF5
creates them once, in memory, each contiguous and with its place in the file allocated at once, and
says where each place is. A file is this skeleton, completed by HDF5 with whatever else it holds,
with the values at their places. Object times are not stored: equal content gives equal bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5d, h5f, h5fd, h5g, h5p, h5s, h5t

from atlas_assets.stages.blocks import Rows, slices_of

Array = npt.NDArray[Any]

#: group in which a file keeps its attributes, its lists of names and its provenance
METADATA = "metadata"
#: the format that a file is written in: as any HDF5 from 1.10 on reads it
_LIBRARY = ("v110", "v110")
#: how many skeletons are kept, and the largest number of bytes of values in one that is kept
_KEPT, _KEPT_BYTES = 3, 1 << 26


@dataclass(frozen=True)
class _Vectors:
    """The datasets ``/{group}/layer_{L}/{name}`` without their values."""

    group: str
    names: tuple[str, ...]
    n_layers: int
    width: int
    dtype: str


class Hdf5Writer:
    """Collects the content of an HDF5 file; `finish` returns the file's bytes."""

    def __init__(self) -> None:
        self._vectors: list[_Vectors] = []
        self._values: list[Array] = []
        self._rest: list[Callable[[Any], None]] = []
        self._stacked: list[tuple[str, Rows]] = []

    def stacked(self, group: str, values: Rows) -> None:
        """Add ``/{group}/layer_{L}`` for all layers, each ``[units, width]``, for `finish_at`."""
        self._stacked.append((group, values))

    def vectors(self, group: str, names: Sequence[str], values: Array) -> None:
        """Add ``/{group}/layer_{L}/{name}`` for all layers and names.

        The values are ``[units, layers, width]``, at least one layer and one value; bool becomes
        HDF5's enumeration of FALSE and TRUE.
        """
        _, n_layers, width = values.shape
        dtype = values.dtype.newbyteorder("<")
        self._vectors.append(_Vectors(group, tuple(names), n_layers, width, dtype.str))
        self._values.append(values.astype(dtype, order="C", copy=False))

    def scalars(self, group: str, names: Sequence[str], values: Array) -> None:
        """Add ``/{group}/{name}``, one int64 scalar per name, as the release has them."""

        def write(file: Any) -> None:
            parent = _create_group(file, group)
            space = h5s.create(h5s.SCALAR)
            creation = h5p.create(h5p.DATASET_CREATE)
            creation.set_layout(h5d.COMPACT)
            creation.set_obj_track_times(False)
            for name, value in zip(names, values.astype(np.int64), strict=True):
                dataset = h5d.create(parent, name.encode(), h5t.STD_I64LE, space, creation)
                dataset.write(h5s.ALL, h5s.ALL, np.asarray(value))

        self._rest.append(write)

    def matrices(self, group: str, matrices: Mapping[str, Array]) -> None:
        """Add one dataset ``/{group}/{name}`` per matrix, with the matrix's own dtype."""

        def write(file: Any) -> None:
            folder = h5py.Group(_create_group(file, group))
            for name, matrix in matrices.items():
                folder.create_dataset(name, data=matrix, track_times=False)

        self._rest.append(write)

    def metadata(
        self, attributes: Mapping[str, str | int | float], lists: Mapping[str, Sequence[str]]
    ) -> None:
        """Add ``/metadata`` with its attributes, and with lists of names as string datasets."""

        def write(file: Any) -> None:
            folder = h5py.Group(_create_group(file, METADATA))
            for key, value in attributes.items():
                folder.attrs[key] = value
            for key, names in lists.items():
                folder.create_dataset(
                    key, data=list(names), shape=(len(names),), dtype=h5py.string_dtype()
                )

        self._rest.append(write)

    def finish(self) -> bytes:
        """Return the bytes of the file, which any reader of HDF5 1.10 or later understands."""
        # a skeleton is kept where a sweep needs it nine times, unless it is large
        small = sum(values.nbytes for values in self._values) <= _KEPT_BYTES
        skeleton, places = (_kept_skeleton if small else _skeleton)(tuple(self._vectors))
        memory = io.BytesIO(skeleton)
        with h5py.File(memory, "r+", libver=_LIBRARY) as file:
            for write in self._rest:
                write(file.id)
        with memory.getbuffer() as image:
            for place, row in zip(places, self._rows(), strict=True):
                image[place : place + row.nbytes] = row
        return memory.getvalue()

    def finish_at(self, path: Path) -> None:
        """Write the file to ``path``, where one is, without holding it in memory.

        What lies there does not depend on how large the blocks of `stacked` values are.
        """
        with path.open("r+b", buffering=0) as image:
            taking = _Taking(image)
            try:
                file = _new_file(b"large.h5", taking)
                places = tuple(place for of in self._vectors for place in _created(file, of))
                for write in self._rest:
                    write(file)
                stacks = [
                    (values, _reserved(file, group, values)) for group, values in self._stacked
                ]
                h5f.flush(file)
                size = file.get_filesize()
                file.close()
            finally:  # it is the reason of what HDF5 then finds
                taking.raise_refusal()
            image.truncate(size)
        with path.open("r+b") as image:
            for place, row in zip(places, self._rows(), strict=True):
                image.seek(place)
                image.write(row)
            for values, of_layers in stacks:
                _put(image, values, of_layers)

    def _rows(self) -> Iterator[memoryview]:
        """The values of each vector as bytes, in the order of `_created`."""
        for values in self._values:
            if values.size:
                for layer in np.moveaxis(values.view(np.uint8), 1, 0):
                    yield from (row.data for row in layer)


def _skeleton(vectors: tuple[_Vectors, ...]) -> tuple[bytes, tuple[int, ...]]:
    """A file whose vectors have no values yet, and their offsets in the order of creation."""
    # not HDF5's own files in memory: their images, taken while they are open for writing, carry a
    # stale checksum before HDF5 2.0
    memory = io.BytesIO()
    file = _new_file(b"skeleton.h5", memory)
    places = tuple(place for of in vectors for place in _created(file, of))
    h5f.flush(file)
    size = file.get_filesize()
    file.close()
    # what is allocated at the end and never written by HDF5 is part of the file
    return memory.getvalue().ljust(size, b"\0"), places


_kept_skeleton = lru_cache(maxsize=_KEPT)(_skeleton)


def _created(file: Any, vectors: _Vectors) -> Iterator[int]:
    """Creates the datasets, layer by layer, and gives the offset of each one's values."""
    file_type = h5t.py_create(np.dtype(vectors.dtype))
    space, creation = h5s.create_simple((vectors.width,)), _at_a_place()
    parent = _create_group(file, vectors.group)
    for layer in range(vectors.n_layers):
        folder = _create_group(parent, f"layer_{layer}")
        for name in vectors.names:
            yield h5d.create(folder, name.encode(), file_type, space, creation).get_offset()


def _at_a_place() -> Any:
    """How datasets are created that have one place in the file, which is theirs from then on."""
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_layout(h5d.CONTIGUOUS)
    # HDF5 gives a place only to what is allocated; every value there is written by us
    creation.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5d.FILL_TIME_NEVER)
    creation.set_obj_track_times(False)
    return creation


def _reserved(file: Any, group: str, values: Rows) -> list[int]:
    """Creates a dataset per layer, and gives the offset of the values of each."""
    units, n_layers, width = values.shape
    file_type, creation = h5t.py_create(values.dtype.newbyteorder("<")), _at_a_place()
    space, folder = h5s.create_simple((units, width)), _create_group(file, group)
    return [
        h5d.create(folder, b"layer_%d" % layer, file_type, space, creation).get_offset()
        for layer in range(n_layers)
    ]


def _put(image: IO[bytes], values: Rows, places: Sequence[int]) -> None:
    """Puts values in the places of their layers, some units at a time."""
    little = values.dtype.newbyteorder("<")
    for units in slices_of(values):
        block = values[units].astype(little, copy=False)
        for layer, place in enumerate(places):
            rows = np.ascontiguousarray(block[:, layer])
            image.seek(place + units.start * rows[0].nbytes)
            image.write(rows.data)


class _Taking:
    """A file that takes all that HDF5 writes, which could not close what the disk refuses.

    Nor would it hand on an interrupt: that too is raised when the file is closed. What was refused,
    and what is written after it, is kept in memory, since HDF5 reads it again and trusts it.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._at = 0
        self._refusal: BaseException | None = None
        self._kept: list[tuple[int, bytes]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = self._file.seek(offset, whence)
        if whence == io.SEEK_END:
            self._at = max([self._at, *(start + len(data) for start, data in self._kept)])
        return self._at

    def write(self, data: memoryview) -> int:
        if self._refusal is None:
            try:
                left = memoryview(data).cast("B")
                while left:  # the last bytes of a disk, or a signal, end a write before its end
                    left = left[self._file.write(left) :]
                return len(data)
            except BaseException as error:
                self._refusal = error
        self._kept.append((self._at, bytes(data)))
        return len(data)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        self._file.readinto(view)  # type: ignore[attr-defined]
        for start, data in self._kept:
            low, high = max(start, self._at), min(start + len(data), self._at + len(view))
            if low < high:
                view[low - self._at : high - self._at] = data[low - start : high - start]
        return len(view)

    def truncate(self, size: int) -> int:
        if self._refusal is None:
            try:
                return self._file.truncate(size)
            except BaseException as error:
                self._refusal = error
        return size

    def raise_refusal(self) -> None:
        """Raise the first error of the disk or interrupt, if there was one."""
        if self._refusal is not None:
            raise self._refusal


def _new_file(name: bytes, image: io.BytesIO | _Taking) -> Any:
    """An empty HDF5 file in ``image``."""
    creation = h5p.create(h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)
    access.set_fileobj_driver(h5fd.fileobj_driver, image)
    return h5f.create(name, h5f.ACC_TRUNC, creation, access)


def _create_group(parent: Any, name: str) -> Any:
    creation = h5p.create(h5p.GROUP_CREATE)
    creation.set_obj_track_times(False)
    return h5g.create(parent, name.encode(), gcpl=creation)
