"""What the structure of an HDF5 file may not do, checked before any value is read.

A dataset may be stored in another file, or be composed of other datasets; a link may lead out of
the file; a few bytes may declare terabytes. No file of an atlas or of the paper's release does any
of this, so a file that does is refused, with an error that `hdf5.reader` adds the place to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from h5py import h5d, h5l, h5t, h5z

from atlas_assets.errors import ForeignArtifactError, unsound

#: filters that h5py itself brings; any other would be looked for among the machine's plug-ins
_FILTERS = {h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32, h5z.FILTER_LZF}
#: bytes of values that a byte of a file may stand for; small deflated vectors stay far below it
_INFLATION = 128
#: levels of groups that are looked into; files of an atlas have three
_DEEPEST = 16


def names(group: Any) -> list[str]:
    """Return the names of all members of a group, which must be in the file itself."""
    found = list(group)
    for name in found:
        require_hard(group, name)
    return [name.decode() for name in found]


def require_tree(path: str, address: int, seen: set[int]) -> None:
    """Refuse a group at ``path`` that others have as a member too, or that lies too deep.

    ``seen`` are the addresses of the groups so far; this one's is added.
    """
    depth = path.count("/")
    if address in seen or depth > _DEEPEST:
        what = "the HDF5 file has groups that are no tree of a few levels"
        found = "a group that is a member of two" if address in seen else f"level {depth}"
        raise _foreign(what, f"a tree of at most {_DEEPEST} levels", found)
    seen.add(address)


def require_hard(group: Any, name: bytes) -> None:
    """Refuse a member of a group that is a soft or external link."""
    kind = group.links.get_info(name).type
    if kind != h5l.TYPE_HARD:
        raise _foreign(
            "the HDF5 file has a link that leads elsewhere",
            "groups and datasets of the file itself",
            f"{'an external' if kind == h5l.TYPE_EXTERNAL else 'a soft'} link, "
            f"{name.decode(errors='replace')!r}",
        )


def dataset(group: Any, name: bytes) -> tuple[Any, Any]:
    """Open a hard link in ``group`` as h5py's low-level dataset; return it, and its type.

    It is refused if its values are elsewhere, or if it needs an unknown filter or a named type.
    """
    found = h5d.open(group, name)
    # contiguous values in this file, and they alone, have a place in it
    if found.get_offset() is None:
        _require_own_values(found.get_create_plist())
    kind = found.get_type()
    require_own_type(kind)
    return found, kind


def require_own_type(kind: Any) -> None:
    """Refuse a named type, which any number of datasets and attributes could share."""
    if kind.committed():
        raise _foreign(
            "the HDF5 file uses a named type",
            "a type of the dataset's own",
            "a type that others may share",
        )


def read_as(stored: Any, dtype: np.dtype[Any]) -> Any | None:
    """Return the type in memory to read values of type ``dtype`` as; ``None`` where they are not.

    Booleans may be stored as an enumeration of FALSE = 0 and TRUE = 1, in any letters, as whole
    numbers or as a field of 8 bits. They are read as the numbers they are, which need not be 0
    and 1.
    """
    wanted, kind = h5t.py_create(dtype), stored.get_class()
    if dtype != np.bool_:
        return wanted if kind == wanted.get_class() else None
    if kind == h5t.BITFIELD:
        return stored if stored.get_size() == 1 else None
    if kind == h5t.ENUM and not stored.equal(wanted):
        members = {
            stored.get_member_name(index).upper(): stored.get_member_value(index)
            for index in range(stored.get_nmembers())
        }
        kind = h5t.INTEGER if members.items() >= {(b"FALSE", 0), (b"TRUE", 1)} else None
    return wanted if kind == h5t.ENUM else h5t.NATIVE_INT8 if kind == h5t.INTEGER else None


def most_values(file: Any) -> int:
    """Return the largest number of bytes of values that a file of this size may declare."""
    return _INFLATION * int(file.get_filesize())


def require_room(shape: Sequence[int], dtype: npt.DTypeLike, most: int) -> None:
    """Refuse an array of more than ``most`` bytes, since the file could not hold it."""
    declared = math.prod(shape) * np.dtype(dtype).itemsize
    if declared > most:
        raise unsound(
            "the HDF5 file declares more values than it can hold",
            "",
            f"at most {most:,} bytes, {_INFLATION} times its size",
            f"{declared:,} bytes",
        )


def _require_own_values(creation: Any) -> None:
    what, expected = "the HDF5 file takes values from elsewhere", "values in the file itself"
    if creation.get_layout() == h5d.VIRTUAL:
        raise _foreign(what, expected, "a virtual dataset")
    if creation.get_external_count():
        raise _foreign(what, expected, f"external storage in {creation.get_external(0)[0]!r}")
    filters = {creation.get_filter(index)[0] for index in range(creation.get_nfilters())}
    if filters - _FILTERS:
        raise _foreign(
            "the HDF5 file needs a filter that an atlas does not use",
            "deflate, shuffle, fletcher32 or lzf",
            f"filter {min(filters - _FILTERS)}",
        )


def _foreign(what: str, expected: str, found: str) -> ForeignArtifactError:
    remedy = f"let the program that wrote it write {expected}; or remove the file"
    return ForeignArtifactError(what, expected=expected, found=found, remedy=remedy)
