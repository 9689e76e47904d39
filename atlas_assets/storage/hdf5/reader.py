"""Reads HDF5 as an atlas uses it: one small dataset per unit and layer, straight into one array.

Every error names the file and the key, whatever HDF5 itself has to say about the damage. What could
bring in content from elsewhere, or more of it than the file has room for, is refused before any
value is read (`hdf5.structure`).
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, NoReturn

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5g, h5o, h5s

from atlas_assets.errors import ArtifactError, AtlasError, ForeignArtifactError, unsound
from atlas_assets.files.locations import Source, content, label, local_path, opened
from atlas_assets.files.steady import busy
from atlas_assets.storage.hdf5 import structure
from atlas_assets.storage.hdf5.heaps import require_heaps_that_end, signature_at
from atlas_assets.storage.hdf5.stacked import Stacked
from atlas_assets.storage.hdf5.writer import METADATA, Array

#: what h5py raises for a damaged file, depending on where the damage is met
_H5_ERRORS = (OSError, KeyError, RuntimeError, ValueError, TypeError)
_TO_WRITE = (
    "let the program that wrote it write what is expected: masks are vectors of one dimension, one "
    "per layer and unit, of booleans or of 0 and 1 as uint8 (MATLAB: h5create(file, name, width); "
    "R, Julia: a vector, no matrix); ε and C are numbers (docs/hub.md, Masks of other programs)"
)
#: the version of the superblock, after the signature, from which on it says who has the file open
_WITH_MARKS = b"\x03"


class Hdf5Reader:
    """An open HDF5 file; whatever is wrong in it is an ArtifactError that says where.

    A file on a remote filesystem is read whole first, because thousands of small datasets would be
    thousands of requests. A path at which there is no file is a MissingArtifactError.
    """

    def __init__(self, source: Source) -> None:
        self.label = label(source)
        self._file = self._open(source)
        self._source = source
        self._largest = structure.most_values(self._file.id)
        try:
            with self._about(""):
                structure.names(self._file.id)
        except ArtifactError:
            self._file.close()
            raise

    def __enter__(self) -> Hdf5Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def has(self, key: str) -> bool:
        """Whether ``/{key}`` exists; ``key`` is one name or a path of several."""
        with self._about(key):
            return self._find(key) is not None

    def names(self, group: str) -> list[str]:
        """Return the sorted names of what ``/{group}`` holds."""
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
        """Read all datasets ``/{group}/layer_{L}/{name}``.

        Args:
            group: the top-level group.
            dtype: the type of the result; bool demands booleans as other programs write them too,
                or whole numbers 0 and 1, the others the same class of number (integer, float).
            n_layers: how many layers there must be; ``None`` = as many as there are.
            width: the length that every vector must have; ``None`` = that of the first.
            layer: read this layer alone; it must be there.

        Returns:
            The names, sorted, and an array ``[units, layers, width]``.
        """
        layers = self._layers(group, n_layers)
        if layer is not None:
            layers = layers[layer : layer + 1]
        present = [set(self.names(f"{group}/{folder}")) for folder in layers]
        names = tuple(sorted(set().union(*present)))
        for folder, here in zip(layers, present, strict=True):
            for name in sorted(set(names) - here):
                self.fail(f"/{group}/{folder}/{name}", "a dataset", "none of that name")
        if width is None and not names:
            self.fail(f"/{group}/{layers[0]}", "at least one dataset", "an empty group")
        if width is None:
            width = self._width(f"{group}/{layers[0]}/{names[0]}")
        shape = (len(names), len(layers), width)
        with self._about(group):
            structure.require_room(shape, np.dtype(dtype), self._largest)
        values = np.empty(shape, dtype=dtype)
        for position, folder in enumerate(layers):
            self._read_layer(f"{group}/{folder}", names, values[:, position])
        if values.dtype == np.bool_:
            self._require_booleans(group, layers, names, values.view(np.int8))
        return names, values

    def stacked(self, group: str, dtype: npt.DTypeLike) -> Stacked | None:
        """Return the values of all datasets ``/{group}/layer_{L}``, which are not read yet.

        Each is ``[units, width]`` of just that type; ``None`` where layers are groups, as in the
        published layout.
        """
        layers = self._layers(group, None)
        if self.is_group(f"{group}/{layers[0]}"):
            return None
        shape: tuple[int, ...] | None = None
        for folder in layers:
            dataset = self._dataset(f"{group}/{folder}")
            shape = shape or (dataset.shape if dataset else None)
            if dataset is None or dataset.shape != shape or dataset.ndim != 2:
                had = None if dataset is None else dataset.shape
                self.fail(f"/{group}/{folder}", f"[units, width], as layer_0: {shape}", f"{had}")
            if dataset.dtype != np.dtype(dtype):
                self.fail(f"/{group}/{folder}", f"{np.dtype(dtype)}", f"{dataset.dtype}")
        with self._about(group):
            return Stacked(self._source, group, len(layers))

    def scalars(self, group: str, names: Sequence[str]) -> npt.NDArray[np.int64]:
        """Read ``/{group}/{name}`` for all names, each one whole number, whatever its type."""
        values = np.empty(len(names), dtype=np.int64)
        present = set(self.names(group))
        with self._about(group):
            folder = self._group(group)
        for row, name in enumerate(names):
            where = f"{group}/{name}"
            if name not in present:
                self.fail(f"/{where}", "a dataset", "none of that name")
            with self._about(where):
                dataset, _ = structure.dataset(folder, name.encode())
                value = np.zeros(dataset.shape if math.prod(dataset.shape) == 1 else ())
                if dataset.shape != value.shape or dataset.dtype.kind not in "iuf":
                    self.fail(f"/{where}", "one whole number", f"{dataset.dtype} {dataset.shape}")
                dataset.read(h5s.ALL, h5s.ALL, value)
                # a float of 2^63 or more is whole too, but is no int64
                if not value.item().is_integer() or abs(value.item()) >= 1 << 63:
                    self.fail(f"/{where}", "one whole number", f"{dataset.dtype} {value.item()}")
                values[row] = value.item()
        return values

    def matrix(self, key: str) -> npt.NDArray[np.float64] | None:
        """Read the float64 matrix at ``/{key}``; ``None`` when there is none."""
        with self._about(key):
            dataset = self._dataset(key)
            if dataset is None:
                return None
            if dataset.dtype.kind != "f" or dataset.ndim != 2:
                self.fail(f"/{key}", "a matrix of floats", f"{dataset.dtype} {dataset.shape}")
            return np.asarray(dataset[()], dtype=np.float64)

    def attribute(self, *spellings: str) -> Any | None:
        """Return the first of these attributes of ``/metadata`` that is there, as a Python value.

        An array of one element is that element, as other programs write single numbers.
        """
        with self._about(METADATA):
            if not self.has(METADATA):
                return None
            attributes = h5py.Group(self._group(METADATA)).attrs
            key = next((key for key in spellings if key in attributes), None)
            if key is None:
                return None
            structure.require_own_type(attributes.get_id(key).get_type())
            value = np.asarray(attributes[key])
            if value.size != 1:
                self.fail(f"/{METADATA} {key}", "one value", f"shape {value.shape}")
            return _python_value(value.reshape(-1)[0])

    def name_list(self, key: str) -> tuple[str, ...] | None:
        """Read the names at ``/metadata/{key}``, stored as bytes or text; ``None`` if absent."""
        where = f"{METADATA}/{key}"
        with self._about(where):
            dataset = self._dataset(where)
            if dataset is None:
                return None
            if h5py.check_string_dtype(dataset.dtype) is None:
                self.fail(f"/{where}", "a list of names", f"{dataset.dtype}")
            # what pads a text of fixed length is no part of it; a list may be a row or a column
            return tuple(_python_value(name).rstrip("\0 ") for name in np.ravel(dataset[()]))

    def read_all(self) -> None:
        """Read every value and every attribute of the file, and keep none of them.

        Refused is all that `hdf5.structure` refuses, in the layout of an atlas or beside it.
        """
        groups: list[tuple[str, Any]] = [("", self._file.id)]
        seen: set[int] = set()
        while groups:
            path, group = groups.pop()
            with self._about(path):
                structure.require_tree(path, h5o.get_info(group).addr, seen)
                dict(h5py.Group(group).attrs)
                names = structure.names(group)
            for name in names:
                key = f"{path}/{name}" if path else name
                with self._about(key):
                    kind = h5o.get_info(group, name.encode()).type
                    if kind == h5o.TYPE_GROUP:
                        groups.append((key, h5g.open(group, name.encode())))
                    if kind != h5o.TYPE_DATASET:
                        continue  # a named type is refused where something uses it
                    dataset = h5py.Dataset(structure.dataset(group, name.encode())[0])
                    structure.require_room(dataset.shape, dataset.dtype, self._largest)
                    dict(dataset.attrs)
                    dataset[()]

    def fail(self, where: str, expected: str, found: str) -> NoReturn:
        """Raise the error that the file does not follow its schema at the key ``where``.

        Where it has no record, another program wrote it, and is told what to write.
        """
        what, place = "the HDF5 file does not follow its schema", self._place(where)
        if self._has_record():
            raise unsound(what, place, expected, found)
        raise ForeignArtifactError(
            what, where=place, expected=expected, found=found, remedy=_TO_WRITE
        )

    def _open(self, source: Source) -> Any:
        local = local_path(source)
        image = io.BytesIO(content(source) if local is None else b"")
        with opened(local) if local else nullcontext(image) as file:
            begin, head = signature_at(file), file.seek(0) or file.read(8)
            file.seek((begin or 0) + 8)
            superblock = file.read(4)
        if begin is None:
            found = f"a file that starts with {head!r}" if head else "an empty file"
            expected = "the signature of HDF5, at the start or after a user block"
            raise unsound("not an HDF5 file", self.label, expected, found)
        require_heaps_that_end(local or image.getvalue())
        with self._about(""):
            try:
                # files are replaced, never changed in place; locks fail on some network disks
                return h5py.File(local or image, "r", locking=False)
            except OSError:
                # a file that this very process has open takes no other kind of lock than that has
                for locking in ("best-effort", True):
                    with suppress(OSError):
                        return h5py.File(local or image, "r", locking=locking)
                if superblock[:1] == _WITH_MARKS and any(flags & 1 for flags in superblock[3:]):
                    mark = "the mark that HDF5 leaves in a file while it is written"
                    raise busy(self.label, mark) from None
                raise

    def _has_record(self) -> bool:
        with suppress(AtlasError, *_H5_ERRORS):
            found = self._find(METADATA)
            return found is not None and "provenance" in h5py.Group(h5g.open(*found)).attrs
        return True  # the file is damaged, whoever wrote it

    def _find(self, key: str) -> tuple[Any, bytes] | None:
        """The group that ``/{key}`` is in, and the last name of the key; ``None`` if absent."""
        folder = self._file.id
        *parents, last = key.encode().split(b"/")
        for name in (*parents, last):
            if not folder.links.exists(name):
                return None
            structure.require_hard(folder, name)
            if name is not last:
                folder = h5g.open(folder, name)
        return folder, last

    def is_group(self, key: str) -> bool:
        """Whether ``/{key}`` is a group."""
        with self._about(key):
            found = self._find(key)
            return found is not None and bool(h5o.get_info(*found).type == h5o.TYPE_GROUP)

    def _group(self, key: str) -> Any:
        found = self._find(key)
        if found is None or h5o.get_info(*found).type != h5o.TYPE_GROUP:
            self.fail(f"/{key}", "a group of that name", "a dataset" if found else "none")
        return h5g.open(*found)

    def _dataset(self, key: str) -> h5py.Dataset | None:
        """The dataset at ``/{key}``, checked to be this file's own; ``None`` if there is none."""
        found = self._find(key)
        if found is None:
            return None
        dataset = h5py.Dataset(structure.dataset(*found)[0])
        structure.require_room(dataset.shape, dataset.dtype, self._largest)
        return dataset

    def _layers(self, group: str, n_layers: int | None) -> list[str]:
        present = set(self.names(group))
        count = len(present) if n_layers is None else n_layers
        if not present:
            self.fail(f"/{group}", "at least one layer", "an empty group")
        layers = [f"layer_{layer}" for layer in range(min(count, len(present) + 1))]
        for layer in (layer for layer in layers if layer not in present):
            self.fail(f"/{group}/{layer}", f"{count} layers", f"only {', '.join(sorted(present))}")
        for layer in sorted(present - set(layers)):
            self.fail(f"/{group}/{layer}", f"{count} layers", "one more than that")
        return layers

    def _width(self, key: str) -> int:
        """The length of the vector at ``/{key}``."""
        with self._about(key):
            dataset = self._dataset(key)
            shape: tuple[int, ...] = () if dataset is None else dataset.shape
        if len(shape) != 1 or shape[0] == 0:
            self.fail(f"/{key}", "a vector", f"shape {shape}")
        return int(shape[0])

    def _read_layer(self, group: str, names: Sequence[str], out: Array) -> None:
        """Fills ``out`` ``[units, width]`` with the datasets of one group, in the order of names.

        HDF5 converts silently between kinds of numbers, and from numbers to booleans: we refuse.
        """
        memory_type, known, shape = None, None, out.shape[1:]
        with self._about(group):
            folder = self._group(group)
        name = ""
        try:
            for row, name in enumerate(names):
                dataset, stored = structure.dataset(folder, name.encode())
                found = dataset.get_space().get_simple_extent_dims()
                if found != shape:
                    self.fail(f"/{group}/{name}", f"shape {shape}", f"{found}")
                if known is None or not stored.equal(known):
                    known, memory_type = stored, structure.read_as(stored, out.dtype)
                    if memory_type is None:
                        self.fail(f"/{group}/{name}", f"{out.dtype} values", f"{dataset.dtype}")
                dataset.read(h5s.ALL, h5s.ALL, out[row], memory_type)
        except (AtlasError, *_H5_ERRORS):
            with self._about(f"{group}/{name}"):
                raise

    def _require_booleans(
        self, group: str, layers: Sequence[str], names: Sequence[str], numbers: Array
    ) -> None:
        """Refuse numbers ``[units, layers, width]`` that are neither 0 nor 1."""
        if numbers.view(np.uint8).max(initial=0) > 1:
            unit, layer, neuron = np.argwhere(numbers & ~1)[0]
            found = numbers[unit, layer, neuron]
            # HDF5 gives the largest 8 bits for a larger number
            more = " or more" if found == np.iinfo(np.int8).max else ""
            where = f"/{group}/{layers[layer]}/{names[unit]}"
            self.fail(where, "boolean values, or 0 and 1", f"{found}{more}")

    @contextmanager
    def _about(self, key: str) -> Iterator[None]:
        """Turns what is found wrong with ``/{key}`` into an error that names file and key."""
        where = f"/{key}" if key else ""
        try:
            yield
        except AtlasError as error:
            if error.where:
                raise
            told = error.said | {"where": self._place(where)}
            remedy = told.pop("what to do", None)
            raise type(error)(error.what, remedy=remedy, **told) from error
        except _H5_ERRORS as error:
            what, found = "the HDF5 file is damaged", str(error).strip("'\"")
            raise self._error(what, where, "a complete HDF5 file", found) from error

    def _error(self, what: str, where: str, expected: str, found: str) -> ArtifactError:
        return unsound(what, self._place(where), expected, found)

    def _place(self, where: str) -> str:
        return f"{self.label}, {where}" if where else self.label


def _python_value(value: Any) -> Any:
    """A numpy scalar as Python's; float32 as the decimal number that it was written as."""
    if isinstance(value, np.float32 | np.float16):
        return float(str(value))
    value = value.item() if isinstance(value, np.generic) else value
    return value.decode() if isinstance(value, bytes) else value
