"""Reads HDF5 as an atlas uses it: one small dataset per unit and layer, straight into one array.

Every complaint names the file and the key, whatever HDF5 itself has to say about the damage.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NoReturn

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5d, h5f, h5g, h5l, h5p, h5s, h5t

from atlas_assets.errors import ArtifactError, AtlasError
from atlas_assets.files.locations import Source, label, local_path, missing, unreadable
from atlas_assets.files.locations import content as bytes_of
from atlas_assets.storage.hdf5.bulk import FileBytes, read_vectors
from atlas_assets.storage.hdf5.writer import METADATA, name_in_memory

Array = npt.NDArray[Any]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: step in which HDF5 holds a file that is in memory anyway
_GROWTH = 1 << 22
#: what h5py raises for a damaged file, depending on where the damage is met
_H5_ERRORS = (OSError, KeyError, RuntimeError, ValueError, TypeError)
_REMEDY = "materialise it again, or fetch it again"


class Hdf5Reader:
    """An open file; every complaint says which file and which key.

    Args:
        source: a path, or the file's bytes. A file on a remote filesystem is read whole first
            (thousands of small datasets would be thousands of requests).

    Raises:
        MissingArtifactError: there is no such file.
        ArtifactError: not an HDF5 file, or a truncated one.
    """

    def __init__(self, source: Source) -> None:
        self.label = label(source)
        self._id, image = self._open(source)
        self._bytes = FileBytes(self._id, image)

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
        folder = self._id
        *parents, last = key.encode().split(b"/")
        for parent in parents:
            if parent not in folder:
                return False
            folder = h5g.open(folder, parent)
        return last in folder

    def names(self, group: str) -> list[str]:
        """Sorted names of what ``/{group}`` holds.

        Raises:
            ArtifactError: there is no such group.
        """
        with self._about(group):
            if not self.has(group):
                self.fail(f"/{group}", "a group of that name", "none")
            return sorted(name.decode() for name in h5g.open(self._id, group.encode()))

    def vectors(
        self,
        group: str,
        dtype: npt.DTypeLike,
        *,
        n_layers: int | None = None,
        width: int | None = None,
        layer: int | None = None,
    ) -> tuple[tuple[str, ...], Array]:
        """Reads all of ``/{group}/layer_{L}/{name}``.

        Args:
            group: top-level group.
            dtype: of the result; bool demands HDF5's boolean enumeration, the others the same
                class of number (integer, float).
            n_layers: how many layers there must be; ``None`` = as many as there are.
            width: length of every vector; ``None`` = that of the first.
            layer: read this one alone; it must be there.

        Returns:
            The names, sorted, and an array ``[units, layers, width]``.

        Raises:
            ArtifactError: a layer or dataset is missing, or has another width or type.
        """
        layers = self._layers(group, n_layers)
        if layer is not None:
            layers = layers[layer : layer + 1]
        present = [self._addresses(f"{group}/{folder}") for folder in layers]
        names = tuple(sorted(set().union(*present)))
        for folder, here in zip(layers, present, strict=True):
            for name in names:
                if name not in here:
                    self.fail(f"/{group}/{folder}/{name}", "a dataset", "none of that name")
        if width is None:
            if not names:
                self.fail(f"/{group}/{layers[0]}", "at least one dataset", "an empty group")
            width = self._width(f"{group}/{layers[0]}/{names[0]}")
        values = np.empty((len(names), len(layers), width), dtype=dtype)
        for position, (folder, here) in enumerate(zip(layers, present, strict=True)):
            addresses = np.array([here[name] for name in names], dtype=np.int64)
            self._read_layer(f"{group}/{folder}", names, addresses, values[:, position])
        if values.dtype == np.bool_ and values.view(np.uint8).max(initial=0) > 1:
            self.fail(f"/{group}", "boolean values", f"{values.view(np.uint8).max()}")
        return names, values

    def scalars(self, group: str, names: Sequence[str]) -> npt.NDArray[np.int64]:
        """Reads ``/{group}/{name}`` for all names: whole numbers, scalars or of length one.

        Raises:
            ArtifactError: one is missing or is not one whole number.
        """
        values = np.empty(len(names), dtype=np.int64)
        with self._about(group):
            present = set(self.names(group))
            folder = h5g.open(self._id, group.encode())
            for row, name in enumerate(names):
                where = f"/{group}/{name}"
                if name not in present:
                    self.fail(where, "a dataset", "none of that name")
                dataset = h5d.open(folder, name.encode())
                if dataset.shape not in ((), (1,)) or dataset.dtype.kind not in "iu":
                    self.fail(where, "one whole number", f"{dataset.dtype} {dataset.shape}")
                dataset.read(h5s.ALL, h5s.ALL, values[row : row + 1].reshape(dataset.shape))
        return values

    def matrix(self, key: str) -> npt.NDArray[np.float64] | None:
        """The float64 matrix at ``/{key}``; ``None`` when there is none."""
        with self._about(key):
            if not self.has(key):
                return None
            dataset = h5py.Dataset(h5d.open(self._id, key.encode()))
            if dataset.dtype.kind != "f" or dataset.ndim != 2:
                self.fail(f"/{key}", "a matrix of floats", f"{dataset.dtype} {dataset.shape}")
            return np.asarray(dataset[()], dtype=np.float64)

    def attribute(self, *spellings: str) -> Any | None:
        """The first of the attributes of ``/metadata`` that is there, as a Python value."""
        with self._about(METADATA):
            if not self.has(METADATA):
                return None
            attributes = h5py.Group(h5g.open(self._id, METADATA.encode())).attrs
            for key in spellings:
                if key in attributes:
                    value = attributes[key]
                    value = value.item() if isinstance(value, np.generic) else value
                    return value.decode() if isinstance(value, bytes) else value
        return None

    def name_list(self, key: str) -> tuple[str, ...] | None:
        """The list of names at ``/metadata/{key}``, stored as bytes or text; ``None`` if absent."""
        where = f"{METADATA}/{key}"
        with self._about(where):
            if not self.has(where):
                return None
            values = h5py.Dataset(h5d.open(self._id, where.encode()))[()]
            return tuple(
                v.decode() if isinstance(v, bytes) else str(v) for v in np.atleast_1d(values)
            )

    def fail(self, where: str, expected: str, found: str) -> NoReturn:
        """Raises the error about the key ``where`` of this file."""
        raise ArtifactError(
            "the HDF5 file does not follow its schema",
            where=f"{self.label}, {where}",
            expected=expected,
            found=found,
            remedy=_REMEDY,
        )

    def _open(self, source: Source) -> tuple[Any, bytes | None]:
        """The file, and its bytes where it is held in memory."""
        local = local_path(source)
        if local is None:
            image = bytes_of(source)
            self._check_signature(image[:8])
            access = h5p.create(h5p.FILE_ACCESS)
            access.set_fapl_core(_GROWTH, False)
            access.set_file_image(image)
            with self._about(""):
                return h5f.open(name_in_memory(), h5f.ACC_RDONLY, access), image
        try:
            with local.open("rb") as file:
                head = file.read(8)
        except FileNotFoundError as error:
            raise missing(source) from error
        except OSError as error:
            raise unreadable(source, error) from error
        self._check_signature(head)
        access = h5p.create(h5p.FILE_ACCESS)
        # files are replaced, never changed in place; locks fail on some network disks
        access.set_file_locking(False, True)
        with self._about(""):
            return h5f.open(os.fsencode(local), h5f.ACC_RDONLY, access), None

    def _check_signature(self, head: bytes) -> None:
        if head != _SIGNATURE:
            raise ArtifactError(
                "not an HDF5 file",
                where=self.label,
                expected="a file that starts with the HDF5 signature",
                found="an empty file" if not head else f"a file that starts with {head!r}",
                remedy=_REMEDY,
            )

    def _layers(self, group: str, n_layers: int | None) -> list[str]:
        present = self.names(group)
        count = len(present) if n_layers is None else n_layers
        wanted = [f"layer_{layer}" for layer in range(count)]
        for layer in wanted:
            if layer not in present:
                self.fail(f"/{group}/{layer}", f"{count} layers", f"only {', '.join(present)}")
        for layer in present:
            if layer not in wanted:
                self.fail(f"/{group}/{layer}", f"{count} layers", "one more than that")
        if not wanted:
            self.fail(f"/{group}", "at least one layer", "an empty group")
        return wanted

    def _width(self, key: str) -> int:
        with self._about(key):
            shape = h5d.open(self._id, key.encode()).shape
        if len(shape) != 1 or shape[0] == 0:
            self.fail(f"/{key}", "a vector", f"shape {shape}")
        return int(shape[0])

    def _addresses(self, group: str) -> dict[str, int]:
        """Where the header of each dataset of ``/{group}`` lies; -1 for what is no hard link."""
        found: dict[str, int] = {}

        def note(name: bytes, link: Any) -> None:
            found[name.decode()] = link.u if link.type == h5l.TYPE_HARD else -1

        with self._about(group):
            if not self.has(group):
                self.fail(f"/{group}", "a group of that name", "none")
            folder = h5g.open(self._id, group.encode())
            folder.links.iterate(note, info=True)
        return found

    def _read_layer(
        self, group: str, names: Sequence[str], addresses: npt.NDArray[np.int64], out: Array
    ) -> None:
        """Fills ``out`` ``[units, width]``: what is laid out as we do in bulk, the rest by HDF5.

        HDF5 converts silently between kinds of numbers, and from numbers to booleans: we refuse.
        """
        if not names:
            return
        memory_type = h5t.py_create(out.dtype)
        kind, shape = memory_type.get_class(), out.shape[1:]
        with self._about(group):
            folder = h5g.open(self._id, group.encode())
        name = names[0]
        try:
            left = read_vectors(self._bytes, h5d.open(folder, name.encode()), addresses, out)
            for row in left.tolist():
                name = names[row]
                dataset = h5d.open(folder, name.encode())
                if dataset.shape != shape:
                    self.fail(f"/{group}/{name}", f"shape {shape}", f"{dataset.shape}")
                if dataset.get_type().get_class() != kind:
                    self.fail(f"/{group}/{name}", f"{out.dtype} values", f"{dataset.dtype}")
                dataset.read(h5s.ALL, h5s.ALL, out[row], memory_type)
        except _H5_ERRORS:
            with self._about(f"{group}/{name}"):
                raise

    @contextmanager
    def _about(self, key: str) -> Iterator[None]:
        """Turns what HDF5 says about damage into an error that names file and key."""
        try:
            yield
        except AtlasError:
            raise
        except _H5_ERRORS as error:
            raise ArtifactError(
                "the HDF5 file is damaged",
                where=f"{self.label}, /{key}" if key else self.label,
                expected="a complete HDF5 file",
                found=str(error).strip("'\""),
                remedy=_REMEDY,
            ) from error
