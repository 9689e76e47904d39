"""What all HDF5 files of an atlas have in common: ``/metadata``, and how they are opened."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy.typing as npt
from upath import UPath

from atlas_assets.errors import SettingsError, within
from atlas_assets.files import atomic
from atlas_assets.files.locations import Source, file_digest, file_size, label, local_path
from atlas_assets.stages.concepts import Kind, kinds_of, of_kind
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.codec import Codec, Value
from atlas_assets.storage.hdf5.reader import Hdf5Reader
from atlas_assets.storage.hdf5.stacked import Stacked
from atlas_assets.storage.hdf5.writer import METADATA, Array, Hdf5Writer
from atlas_assets.storage.provenance import Provenance
from atlas_assets.storage.trust import note_harmless

#: how the release spells C, by the notebook that wrote the file
CONSISTENCY_SPELLINGS = ("consistency_thresh", "consistency_threshold")

#: the list of ``/metadata`` that names the concepts of a kind
LISTS: Mapping[Kind, str] = {
    "ast": "ast_nodes",
    "builtin": "builtin_objs",
    "own": "own_concepts",
}

#: the list of ``/metadata`` that names all units, where layers are not groups of them
UNITS = "units"

#: attributes of ``/metadata``, and the lists of names in it
Metadata = tuple[Mapping[str, str | int | float], Mapping[str, Sequence[str]]]


class Hdf5Codec(Codec[Value]):
    """A format whose provenance record is in the file's own ``/metadata``."""

    kind = "hdf5"

    @abstractmethod
    def fill(self, writer: Hdf5Writer, value: Value, provenance: Provenance) -> Metadata:
        """Add the value to a file; return what ``/metadata`` says besides the provenance."""

    @abstractmethod
    def extract(self, reader: Hdf5Reader, part: str | None) -> Value:
        """Read the value, or a part of it, from an open file, and validate it."""

    def _taken(self, source: Source) -> Source:
        """A file on this machine as it is: of a large one, a part may be all that is read."""
        return super()._taken(source) if local_path(source) is None else source

    def _is_one(self, source: Source) -> bool:
        """A file on this machine is opened once to be examined, and again to be read."""
        return local_path(source) is None

    def payload_digest(self, value: Any) -> str:
        """Return the SHA-256 (hex) over the whole value, as the value itself gives it."""
        return str(value.digest())

    def streams(self, value: Value) -> bool:  # noqa: ARG002
        """Whether a value is so large that its file is never held in memory."""
        return False

    def encode(self, value: Value, provenance: Provenance) -> bytes:
        """Return the bytes of an HDF5 file that holds the value and its provenance."""
        writer = self._filled(value, provenance)
        if not self.streams(value):
            return writer.finish()
        with TemporaryDirectory() as folder:
            file = Path(folder) / "file.h5"
            file.touch()
            writer.finish_at(file)
            return file.read_bytes()

    def write(self, path: UPath | Path, value: Value, provenance: Provenance) -> int:
        """Put the value at ``path`` in one step, as every format does; return the file's size.

        What is written block by block is read back whole, and its content compared.
        """
        local = local_path(path)
        if local is None or not self.streams(value):
            return super().write(path, value, provenance)
        self.check(value, where=provenance.artifact)

        def arrived(there: Path) -> bool:
            note_harmless(file_digest(there), self.kind)
            return self.payload_digest(self.decode(there)) == provenance.payload_sha256

        writer = self._filled(value, provenance)
        atomic.write_large(local, writer.finish_at, arrived, what=provenance.artifact)
        return file_size(path)

    def _filled(self, value: Value, provenance: Provenance) -> Hdf5Writer:
        writer = Hdf5Writer()
        attributes, lists = self.fill(writer, value, provenance)
        record, version = provenance.to_json(), provenance.format_version
        writer.metadata({**attributes, "provenance": record, "format_version": version}, lists)
        return writer

    def decode(self, source: Source, *, part: str | None = None) -> Value:
        """Read the value in a file, or a part of it, and validate it."""
        with Hdf5Reader(source) as reader, within(reader.label):
            return self.extract(reader, part)

    def record(self, source: Source) -> Provenance | None:
        """Return the record in the file's ``/metadata``; ``None`` if it has none."""
        with Hdf5Reader(source) as reader:
            record = reader.attribute("provenance")
        if record is None:
            return None
        return Provenance.from_json(str(record), where=f"{label(source)}, /{METADATA} provenance")


def read_setting(reader: Hdf5Reader) -> Setting | None:
    """Return the (ε, C) that a file says it was made at; ``None`` where it says neither."""
    epsilon = reader.attribute("epsilon")
    consistency = reader.attribute(*CONSISTENCY_SPELLINGS)
    if epsilon is None and consistency is None:
        return None
    where = f"/{METADATA} epsilon, {' or '.join(CONSISTENCY_SPELLINGS)}"
    try:
        return Setting(float(str(epsilon)), float(str(consistency)))
    except (ValueError, SettingsError):
        reader.fail(where, "two numbers in range", f"{epsilon!r}, {consistency!r}")


def read_vectors(
    reader: Hdf5Reader, group: str, dtype: npt.DTypeLike, layer: int | None = None
) -> tuple[tuple[str, ...], Array]:
    """Read a group as `Hdf5Reader.vectors` does, as many layers and as wide as a file says."""
    n_layers, width = whole_number(reader, "n_layers"), whole_number(reader, "width")
    return reader.vectors(group, dtype, n_layers=n_layers, width=width, layer=layer)


def read_stacked(
    reader: Hdf5Reader, group: str, dtype: npt.DTypeLike
) -> tuple[tuple[str, ...], Stacked] | None:
    """Return the units of a group with their values, not read yet, where layers are datasets."""
    values = reader.stacked(group, dtype)
    if values is None:
        return None
    names = reader.name_list(UNITS) or ()
    require_count(reader, group, len(names))
    if values.shape[:2] != (len(names), whole_number(reader, "n_layers")):
        expected = f"as many units as /{METADATA}/{UNITS} names, in n_layers layers"
        reader.fail(f"/{group}", expected, f"shape {values.shape}")
    return names, values


def whole_number(reader: Hdf5Reader, key: str) -> int | None:
    """Return the whole number ≥ 0 in the attribute ``key``; ``None`` where a file lacks it."""
    value = reader.attribute(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is not None and (not isinstance(value, int) or value < 0):
        reader.fail(f"/{METADATA} {key}", "a whole number", repr(value))
    return value


def require_count(reader: Hdf5Reader, group: str, found: int) -> None:
    """Refuse a file that holds another number of units than its ``n_pairs`` says."""
    wanted = whole_number(reader, "n_pairs")
    if wanted is not None and wanted != found:
        reader.fail(f"/{group}", f"{wanted} units, as n_pairs says", f"{found}")


def concept_lists(concepts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return concept names as ``/metadata`` lists them, without prefix, sorted."""
    names = sorted(concepts)
    return {LISTS[kind]: of_kind(names, kind) for kind in kinds_of(names)}
