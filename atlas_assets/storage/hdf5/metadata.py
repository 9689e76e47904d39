"""What ``/metadata`` says in all HDF5 files of an atlas."""

from __future__ import annotations

from collections.abc import Iterable

from atlas_assets.errors import SettingsError
from atlas_assets.files.locations import Source, label
from atlas_assets.stages.concepts import split_concept
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.codec import Codec, Value
from atlas_assets.storage.hdf5.reader import Hdf5Reader
from atlas_assets.storage.hdf5.writer import METADATA
from atlas_assets.storage.provenance import Provenance

#: how the release spells C, by the notebook that wrote the file
CONSISTENCY_SPELLINGS = ("consistency_thresh", "consistency_threshold")


def provenance_attributes(provenance: Provenance) -> dict[str, str | int | float]:
    """The attributes of ``/metadata`` that carry the provenance record."""
    return {"provenance": provenance.to_json(), "format_version": provenance.format_version}


class Hdf5Codec(Codec[Value]):
    """A format whose provenance record lies in the file's own ``/metadata``."""

    kind = "hdf5"

    def provenance(self, source: Source) -> Provenance | None:
        """The record in the file's ``/metadata``; ``None`` if it has none."""
        return read_provenance(source)


def read_provenance(source: Source) -> Provenance | None:
    """The provenance in a file; ``None`` for a file of the release."""
    with Hdf5Reader(source) as reader:
        record = reader.attribute("provenance")
    if record is None:
        return None
    return Provenance.from_json(str(record), where=f"{label(source)}, /{METADATA} provenance")


def read_setting(reader: Hdf5Reader) -> Setting | None:
    """The (ε, C) that the file says it was made at; ``None`` where it says neither."""
    epsilon = reader.attribute("epsilon")
    consistency = reader.attribute(*CONSISTENCY_SPELLINGS)
    if epsilon is None and consistency is None:
        return None
    where = f"/{METADATA} epsilon, {' or '.join(CONSISTENCY_SPELLINGS)}"
    try:
        return Setting(float(str(epsilon)), float(str(consistency)))
    except (ValueError, SettingsError):
        reader.fail(where, "two numbers in range", f"{epsilon!r}, {consistency!r}")


def whole_number(reader: Hdf5Reader, key: str) -> int | None:
    """The whole number ≥ 0 in the attribute ``key``; ``None`` where the file lacks it."""
    value = reader.attribute(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is not None and (not isinstance(value, int) or value < 0):
        reader.fail(f"/{METADATA} {key}", "a whole number", repr(value))
    return value


def require_count(reader: Hdf5Reader, group: str, found: int) -> None:
    """Refuses a file that holds another number of units than its ``n_pairs`` says."""
    wanted = whole_number(reader, "n_pairs")
    if wanted is not None and wanted != found:
        reader.fail(f"/{group}", f"{wanted} units, as n_pairs says", f"{found}")


def concept_lists(concepts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Concept names as ``/metadata`` lists them, without prefix, sorted."""
    split = sorted(split_concept(concept) for concept in concepts)
    return {
        "ast_nodes": tuple(name for kind, name in split if kind == "ast"),
        "builtin_objs": tuple(name for kind, name in split if kind == "builtin"),
    }
