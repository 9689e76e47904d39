"""Reads HDF5 as an atlas uses it: one small dataset per unit and layer, straight into one array.

Every error names the file and the key, whatever HDF5 itself has to say about the damage. What could
bring in content from elsewhere, or more of it than the file has room for, is refused before any
value is read (`hdf5.structure`).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NoReturn

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5f, h5g, h5p, h5s, h5t

from atlas_assets.errors import ArtifactError, AtlasError
from atlas_assets.files.locations import Source, label, local_path, missing, unreadable
from atlas_assets.files.locations import content as bytes_of
from atlas_assets.storage.hdf5 import structure
from atlas_assets.storage.hdf5.heaps import require_heaps_that_end
from atlas_assets.storage.hdf5.structure import StructureError
from atlas_assets.storage.hdf5.writer import METADATA

Array = npt.NDArray[Any]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: number of bytes by which HDF5 would enlarge a file in memory
_GROWTH = 1 << 22
#: numbers files in memory: HDF5 takes two open files of one name for one
_NUMBERS = itertools.count()
#: what h5py raises for a damaged file, depending on where the damage is met
_H5_ERRORS = (OSError, KeyError, RuntimeError, ValueError, TypeError)
_REMEDY = "materialise it again, or fetch it again"


class Hdf5Reader:
    """An open HDF5 file whose errors say which file and which key they are about.

    Args:
        source: a path, or the file's bytes. A file on a remote filesystem is read whole first,
            because thousands of small datasets would be thousands of requests.

    Raises:
        MissingArtifactError: there is no such file.
        ArtifactError: it is not an HDF5 file, or it is truncated.
    """

    def __init__(self, source: Source) -> None:
        self.label = label(source)
        self._id = self._open(source)
        self._largest = structure.most_values(self._id)

    def __enter__(self) -> Hdf5Reader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._id.close()

    def has(self, key: str) -> bool:
        """Whether ``/{key}`` exists; ``key`` is one name or a path of several."""
        with self._about(key):
            folder, last = self._parent(key)
            return folder is not None and folder.links.exists(last)

    def names(self, group: str) -> list[str]:
        """The sorted names of what ``/{group}`` holds.

        Raises:
            ArtifactError: there is no such group, or something in it is linked from elsewhere.
        """
        with self._about(group):
            return sorted(structure.names(self._group(group)))

    def vectors(
        self,
        group: str,
        dtype: npt.DTypeLike,
        *,
        n_layers: int | None = None,
        width: int | None = None,
        layer: int | None = None,
    ) -> tuple[tuple[str, ...], Array]:
        """Reads all datasets ``/{group}/layer_{L}/{name}``.

        Args:
            group: top-level group.
            dtype: of the result; bool demands HDF5's boolean enumeration, the others the same
                class of number (integer, float).
            n_layers: how many layers there must be; ``None`` = as many as there are.
            width: length that every vector must have; ``None`` = that of the first.
            layer: read this layer alone; it must be there.

        Returns:
            The names, sorted, and an array ``[units, layers, width]``.

        Raises:
            ArtifactError: a layer or dataset is missing, or has another width or type.
        """
        layers = self._layers(group, n_layers)
        if layer is not None:
            layers = layers[layer : layer + 1]
        present = [set(self.names(f"{group}/{folder}")) for folder in layers]
        names = tuple(sorted(set().union(*present)))
        for folder, here in zip(layers, present, strict=True):
            for name in names:
                if name not in here:
                    self.fail(f"/{group}/{folder}/{name}", "a dataset", "none of that name")
        if names:
            width = self._width(f"{group}/{layers[0]}/{names[0]}", width)
        elif width is None:
            self.fail(f"/{group}/{layers[0]}", "at least one dataset", "an empty group")
        shape = (len(names), len(layers), width)
        with self._about(group):
            structure.require_room(shape, np.dtype(dtype), self._largest)
        values = np.empty(shape, dtype=dtype)
        for position, folder in enumerate(layers):
            self._read_layer(f"{group}/{folder}", names, values[:, position])
        if values.dtype == np.bool_ and values.view(np.uint8).max(initial=0) > 1:
            self.fail(f"/{group}", "boolean values", f"{values.view(np.uint8).max()}")
        return names, values

    def scalars(self, group: str, names: Sequence[str]) -> npt.NDArray[np.int64]:
        """Reads ``/{group}/{name}`` for all names, each a whole number of shape () or (1,).

        Returns:
            An int64 array ``[names]``.

        Raises:
            ArtifactError: one is missing or is not one whole number.
        """
        values = np.empty(len(names), dtype=np.int64)
        with self._about(group):
            folder = self._group(group)
            present = set(structure.names(folder))
            for row, name in enumerate(names):
                where = f"/{group}/{name}"
                if name not in present:
                    self.fail(where, "a dataset", "none of that name")
                with self._about(where[1:]):
                    dataset, _ = structure.dataset(folder, name.encode())
                if dataset.shape not in ((), (1,)) or dataset.dtype.kind not in "iu":
                    self.fail(where, "one whole number", f"{dataset.dtype} {dataset.shape}")
                dataset.read(h5s.ALL, h5s.ALL, values[row : row + 1].reshape(dataset.shape))
        return values

    def matrix(self, key: str) -> npt.NDArray[np.float64] | None:
        """The float64 matrix at ``/{key}``; ``None`` when there is none."""
        with self._about(key):
            dataset = self._dataset(key)
            if dataset is None:
                return None
            if dataset.dtype.kind != "f" or dataset.ndim != 2:
                self.fail(f"/{key}", "a matrix of floats", f"{dataset.dtype} {dataset.shape}")
            return np.asarray(dataset[()], dtype=np.float64)

    def attribute(self, *spellings: str) -> Any | None:
        """The first of these attributes of ``/metadata`` that is there, as a Python value.

        An array of one element is that element, as other programs write single numbers.

        Raises:
            ArtifactError: it has several elements, or a named type.
        """
        with self._about(METADATA):
            if not self.has(METADATA):
                return None
            attributes = h5py.Group(self._group(METADATA)).attrs
            for key in spellings:
                if key in attributes:
                    structure.require_own_type(attributes.get_id(key).get_type())
                    value = attributes[key]
                    if isinstance(value, np.ndarray | np.generic):
                        if value.size != 1:
                            self.fail(f"/{METADATA} {key}", "one value", f"shape {value.shape}")
                        value = _python_value(np.asarray(value).reshape(-1)[0])
                    return value.decode() if isinstance(value, bytes) else value
        return None

    def name_list(self, key: str) -> tuple[str, ...] | None:
        """The list of names at ``/metadata/{key}``, stored as bytes or text; ``None`` if absent."""
        where = f"{METADATA}/{key}"
        with self._about(where):
            dataset = self._dataset(where)
            if dataset is None:
                return None
            if h5py.check_string_dtype(dataset.dtype) is None:
                self.fail(f"/{where}", "a list of names", f"{dataset.dtype}")
            return tuple(
                v.decode() if isinstance(v, bytes) else str(v) for v in np.atleast_1d(dataset[()])
            )

    def fail(self, where: str, expected: str, found: str) -> NoReturn:
        """Raises the error that the file does not follow its schema at the key ``where``."""
        raise self._error("the HDF5 file does not follow its schema", where, expected, found)

    def _open(self, source: Source) -> Any:
        """The low-level file, from the disk or from memory."""
        local = local_path(source)
        access = h5p.create(h5p.FILE_ACCESS)
        if local is None:
            image = bytes_of(source)
            self._check_signature(image[:8])
            require_heaps_that_end(image)
            access.set_fapl_core(_GROWTH, False)
            access.set_file_image(image)
            with self._about(""):
                return h5f.open(b"atlas-%d.h5" % next(_NUMBERS), h5f.ACC_RDONLY, access)
        try:
            with local.open("rb") as file:
                head = file.read(8)
        except FileNotFoundError as error:
            raise missing(source) from error
        except OSError as error:
            raise unreadable(source, error) from error
        self._check_signature(head)
        require_heaps_that_end(local)
        # files are replaced, never changed in place; locks fail on some network disks
        access.set_file_locking(False, True)
        with self._about(""):
            return h5f.open(os.fsencode(local), h5f.ACC_RDONLY, access)

    def _check_signature(self, head: bytes) -> None:
        if head != _SIGNATURE:
            raise self._error(
                "not an HDF5 file",
                "",
                "a file that starts with the HDF5 signature",
                "an empty file" if not head else f"a file that starts with {head!r}",
            )

    def _parent(self, key: str) -> tuple[Any | None, bytes]:
        """The group that ``/{key}`` lies in, if it is there, and the last name of the key."""
        *parents, last = key.encode().split(b"/")
        folder = self._id
        for parent in parents:
            if not folder.links.exists(parent):
                return None, last
            structure.require_hard(folder, parent)
            folder = h5g.open(folder, parent)
        if folder.links.exists(last):
            structure.require_hard(folder, last)
        return folder, last

    def _group(self, key: str) -> Any:
        folder, last = self._parent(key)
        if folder is None or not folder.links.exists(last):
            self.fail(f"/{key}", "a group of that name", "none")
        return h5g.open(folder, last)

    def _dataset(self, key: str) -> h5py.Dataset | None:
        """The dataset at ``/{key}``, checked to be this file's own; ``None`` if there is none."""
        folder, last = self._parent(key)
        if folder is None or not folder.links.exists(last):
            return None
        dataset = h5py.Dataset(structure.dataset(folder, last)[0])
        structure.require_room(dataset.shape, dataset.dtype, self._largest)
        return dataset

    def _layers(self, group: str, n_layers: int | None) -> list[str]:
        present = set(self.names(group))
        count = len(present) if n_layers is None else n_layers
        if not present:
            self.fail(f"/{group}", "at least one layer", "an empty group")
        layers = [f"layer_{layer}" for layer in range(min(count, len(present) + 1))]
        for layer in layers:
            if layer not in present:
                found = f"only {', '.join(sorted(present))}"
                self.fail(f"/{group}/{layer}", f"{count} layers", found)
        for layer in sorted(present - set(layers)):
            self.fail(f"/{group}/{layer}", f"{count} layers", "one more than that")
        return layers

    def _width(self, key: str, wanted: int | None) -> int:
        """The length of the vector at ``/{key}``, which is the wanted one, if any is wanted."""
        with self._about(key):
            folder, last = self._parent(key)
            shape = structure.dataset(folder, last)[0].shape
        if len(shape) != 1 or shape[0] == 0:
            self.fail(f"/{key}", "a vector", f"shape {shape}")
        if wanted not in (None, shape[0]):
            self.fail(f"/{key}", f"shape ({wanted},)", f"{shape}")
        return int(shape[0])

    def _read_layer(self, group: str, names: Sequence[str], out: Array) -> None:
        """Fills ``out`` ``[units, width]`` with the datasets of one group, in the order of names.

        HDF5 converts silently between kinds of numbers, and from numbers to booleans: we refuse.
        """
        memory_type = h5t.py_create(out.dtype)
        kind, shape = memory_type.get_class(), out.shape[1:]
        with self._about(group):
            folder = self._group(group)
        name = ""
        try:
            for row, name in enumerate(names):
                dataset, stored = structure.dataset(folder, name.encode())
                found = dataset.get_space().get_simple_extent_dims()
                if found != shape:
                    self.fail(f"/{group}/{name}", f"shape {shape}", f"{found}")
                if stored.get_class() != kind:
                    self.fail(f"/{group}/{name}", f"{out.dtype} values", f"{dataset.dtype}")
                dataset.read(h5s.ALL, h5s.ALL, out[row], memory_type)
        except (StructureError, *_H5_ERRORS):
            with self._about(f"{group}/{name}"):
                raise

    @contextmanager
    def _about(self, key: str) -> Iterator[None]:
        """Turns what is found wrong with ``/{key}`` into an error that names file and key."""
        where = f"/{key}" if key else ""
        try:
            yield
        except AtlasError:
            raise
        except StructureError as error:
            raise self._error(error.what, where, error.expected, error.found) from error
        except _H5_ERRORS as error:
            what, found = "the HDF5 file is damaged", str(error).strip("'\"")
            raise self._error(what, where, "a complete HDF5 file", found) from error

    def _error(self, what: str, where: str, expected: str, found: str) -> ArtifactError:
        place = f"{self.label}, {where}" if where else self.label
        return ArtifactError(what, where=place, expected=expected, found=found, remedy=_REMEDY)


def _python_value(value: Any) -> Any:
    """A numpy scalar as Python's; float32 as the decimal number that it was written as."""
    if isinstance(value, np.float32 | np.float16):
        return float(str(value))
    return value.item() if isinstance(value, np.generic) else value
