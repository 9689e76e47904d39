"""Writes HDF5 as an atlas uses it: one small dataset per unit and layer, in bulk.

A mask file holds some 11,000 vectors of 2,048, and HDF5 creates them one by one, in twice the time
that it takes to deflate them. The files of a sweep have the same datasets in them, though: HDF5
builds their skeleton once, in memory, and each file is that skeleton with its own chunks behind it
(`hdf5_headers`). The files stay what any HDF5 reader (1.10 or later) expects. Object times are not
stored: same content, same bytes.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5d, h5f, h5g, h5p, h5s, h5t

from atlas_assets.errors import ArtifactError
from atlas_assets.storage.hdf5.headers import Bytes, ChunkHeader, Offsets, chunk_header, with_chunks

Array = npt.NDArray[Any]

#: where a file keeps its attributes, its name lists and its provenance
METADATA = "metadata"
#: the in-memory file grows in steps of this many bytes
_GROWTH = 1 << 22
#: of deflate; with run lengths alone it makes no difference beyond "compress at all"
_LEVEL = 1
#: skeletons that are kept, each a few MB: activations, object masks, checker masks, and one more
_KEPT = 4
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class _Vectors:
    """The datasets ``/{group}/layer_{L}/{name}``, but for their values."""

    group: str
    names: tuple[str, ...]
    n_layers: int
    width: int
    dtype: str
    shuffle: bool


@dataclass(frozen=True)
class _Skeleton:
    """A file whose vectors have no values yet.

    Attributes:
        image: its bytes.
        places: for each group of vectors a header, and where the headers lie, layer by layer.
    """

    image: bytes
    places: tuple[tuple[ChunkHeader, Offsets], ...]


class Hdf5Writer:
    """Gathers what a file holds; `finish` gives its bytes."""

    def __init__(self) -> None:
        self._vectors: list[_Vectors] = []
        self._chunks: list[list[bytes]] = []
        self._rest: list[Callable[[Any], None]] = []

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
        dtype = values.dtype.newbyteorder("<")
        self._vectors.append(_Vectors(group, tuple(names), n_layers, width, dtype.str, shuffle))
        if len(names) > 0:
            self._chunks.append(list(_deflated(values, dtype, shuffle)))

    def scalars(self, group: str, names: Sequence[str], values: Array) -> None:
        """Writes ``/{group}/{name}``, one int64 scalar each, as the release does."""

        def write(file: Any) -> None:
            parent = _group(file, group)
            space = h5s.create(h5s.SCALAR)
            creation = h5p.create(h5p.DATASET_CREATE)
            creation.set_layout(h5d.COMPACT)
            creation.set_obj_track_times(False)
            for name, value in zip(names, values.astype(np.int64), strict=True):
                dataset = h5d.create(parent, name.encode(), h5t.STD_I64LE, space, creation)
                dataset.write(h5s.ALL, h5s.ALL, np.asarray(value))

        self._rest.append(write)

    def matrices(self, group: str, matrices: Mapping[str, Array]) -> None:
        """Writes ``/{group}/{name}`` as they are."""

        def write(file: Any) -> None:
            folder = h5py.Group(_group(file, group))
            for name, matrix in matrices.items():
                folder.create_dataset(name, data=matrix, track_times=False)

        self._rest.append(write)

    def metadata(
        self, attributes: Mapping[str, str | int | float], lists: Mapping[str, Sequence[str]]
    ) -> None:
        """Writes ``/metadata``: attributes, and lists of names as string datasets."""

        def write(file: Any) -> None:
            folder = h5py.Group(_group(file, METADATA))
            for key, value in attributes.items():
                folder.attrs[key] = value
            for key, names in lists.items():
                folder.create_dataset(
                    key, data=list(names), shape=(len(names),), dtype=h5py.string_dtype()
                )

        self._rest.append(write)

    def finish(self) -> bytes:
        """Gives the file's bytes."""
        skeleton = _skeleton(tuple(self._vectors))
        file = h5f.open(name_in_memory(), h5f.ACC_RDWR, _in_memory(skeleton.image))
        for write in self._rest:
            write(file)
        image = _closed(file)
        end, headers = len(image), []
        for (header, offsets), chunks in zip(skeleton.places, self._chunks, strict=True):
            sizes = np.fromiter(map(len, chunks), dtype=np.int64, count=len(chunks))
            ends = end + np.cumsum(sizes)
            headers.append((offsets, header.filled(ends - sizes, sizes)))
            end += int(sizes.sum())
        return with_chunks(image, headers, b"".join(chunk for of in self._chunks for chunk in of))


@lru_cache(maxsize=_KEPT)
def _skeleton(vectors: tuple[_Vectors, ...]) -> _Skeleton:
    creation = h5p.create(h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    file = h5f.create(name_in_memory(), h5f.ACC_TRUNC, creation, _in_memory())
    offsets = [_create(file, of) for of in vectors]
    image = _closed(file)
    content = np.frombuffer(image, dtype=np.uint8)
    places = tuple((_header(content, at), at) for at in offsets if at.size)
    return _Skeleton(image, places)


def _header(content: Bytes, offsets: Offsets) -> ChunkHeader:
    """The header that all datasets of a group of vectors have."""
    header = chunk_header(content, int(offsets[0]))
    if header is not None:
        headers = content[offsets[:, np.newaxis] + np.arange(header.length)]
        if header.alike(headers).all():
            return header
    raise ArtifactError(
        "HDF5 does not lay out datasets as an atlas's files have them",
        where=f"HDF5 {h5py.version.hdf5_version}",
        expected="object headers of version 2 with one filtered chunk, all alike",
        found="others",
        remedy="install the pinned h5py (constraints.txt)",
    )


def _create(file: Any, vectors: _Vectors) -> Offsets:
    """Creates the datasets; gives the offsets of their headers, layer by layer."""
    file_type = h5t.py_create(np.dtype(vectors.dtype))
    space = h5s.create_simple((vectors.width,))
    creation = _vector_creation(vectors.width, vectors.shuffle)
    parent = _group(file, vectors.group)
    keys = [name.encode() for name in vectors.names]
    offsets = []
    for layer in range(vectors.n_layers):
        folder = _group(parent, f"layer_{layer}")
        for key in keys:
            h5d.create(folder, key, file_type, space, creation)
        found: dict[bytes, int] = {}
        folder.links.iterate(lambda key, link, to=found: to.__setitem__(key, link.u), info=True)
        offsets += [found[key] for key in keys]
    return np.array(offsets, dtype=np.int64)


def _vector_creation(width: int, shuffle: bool) -> Any:
    """How vectors are stored: one deflated chunk each, no times."""
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_chunk((width,))
    if shuffle:
        creation.set_shuffle()
    creation.set_deflate(_LEVEL)
    creation.set_obj_track_times(False)
    return creation


def name_in_memory() -> bytes:
    """A name for a file in memory; two of one name, open at a time, HDF5 takes for the same."""
    return b"atlas-%d.h5" % next(_NUMBERS)


def _in_memory(image: bytes | None = None) -> Any:
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fapl_core(_GROWTH, False)
    access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)
    if image is not None:
        access.set_file_image(image)
    return access


def _closed(file: Any) -> bytes:
    h5f.flush(file)
    image: bytes = file.get_file_image()
    file.close()
    return image


def _group(parent: Any, name: str) -> Any:
    creation = h5p.create(h5p.GROUP_CREATE)
    creation.set_obj_track_times(False)
    return h5g.create(parent, name.encode(), gcpl=creation)


def _deflated(values: Array, dtype: np.dtype[Any], shuffle: bool) -> Iterator[bytes]:
    """The chunks that HDF5's own filters would store, from the strategy that suits our vectors.

    HDF5 always searches for repeated strings, which masks, counts and sums hardly have; run lengths
    and Huffman codes alone take half the time and give smaller files. Any inflate reads them.
    """
    units, n_layers, width = values.shape
    length = width * dtype.itemsize
    bits = (length - 1).bit_length()
    window, memory = min(15, max(9, bits + 1)), min(9, max(1, bits - 6))
    for layer in range(n_layers):
        rows = np.ascontiguousarray(values[:, layer], dtype=dtype).view(np.uint8)
        if shuffle:
            rows = rows.reshape(units, width, dtype.itemsize).swapaxes(1, 2)
        for row in np.ascontiguousarray(rows).reshape(units, length):
            deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, window, memory, zlib.Z_RLE)
            yield deflate.compress(row.data) + deflate.flush()
