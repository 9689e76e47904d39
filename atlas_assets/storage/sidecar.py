"""Provenance of files that have no room for it, such as CSV, in ``.provenance/`` beside them.

A sidecar is named after the file and the digest of the file's bytes. It is written before the file
is replaced, and older ones are removed after, so whenever a writer is killed, whichever file is
in place finds its own sidecar. A file without any sidecar, as those of the release, has no record.

A file may have others beside it that belong to it, as a PNG has its PDF. Their new contents wait in
``.provenance/``, under the digest of the file that they belong to, until that file has taken its
place; theirs then need no more room on the disk. Of a writer that is killed before that moment, the
earlier set stays; after it the new one holds, and what still waits (`waiting`) is a part of it.
Where only the others change, the moment is that in which the file's record is replaced: what waits
and what is in place are then told apart by what fits the record.
Other programs see the new file beside the earlier others until the next write, which finishes.

On a disk one process at a time writes a set. An object store has no locks: what waits has a name of
its own for each writer, and one leaves alone what waits with the content that it has put in place
itself, since another who writes the same set may be about to move it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from upath import UPath

from atlas_assets.errors import ArtifactError, ArtifactWriteError, DamagedArtifactError
from atlas_assets.files import atomic
from atlas_assets.files.json_text import sealed
from atlas_assets.files.locations import content, is_there, label, local_path, names_in
from atlas_assets.files.locks import exclusive
from atlas_assets.storage.provenance import Provenance

FOLDER = ".provenance"
#: the key of a sidecar that says only that
_NO_RECORD = "no_record_of"


def put(
    path: UPath | Path,
    data: bytes,
    provenance: Provenance | None,
    *,
    what: str,
    beside: Mapping[UPath | Path, bytes] | None = None,
    last_look: Callable[[], None] = lambda: None,
) -> None:
    """Put ``data`` at ``path``, its provenance (``None``: it has none) with it, as one set.

    One process at a time writes the same file on a disk. In an object store several may, if they
    all write the same set.

    Args:
        path, data: the file that the set is known by.
        provenance: the record of its making.
        what: what is written, for the error message.
        beside: other files of the set and their contents.
        last_look: is called just before anything in place is replaced, and may refuse.

    Raises:
        ArtifactWriteError: the disk refused, and the earlier set and its records are intact; or, as
            the message then says, the new set holds and one of its files still waits.
    """
    with exclusive(path.parent / FOLDER / path.name, what=what):
        _put({path: data, **(beside or {})}, provenance, what, last_look)


def _put(
    files: Mapping[UPath | Path, bytes],
    provenance: Provenance | None,
    what: str,
    last_look: Callable[[], None],
) -> None:
    (path, data), *beside = files.items()
    in_place = is_there(path) and content(path) == data
    staged = {file: _waiting(file, data, new) for file, new in beside}
    written = {staged[file]: new for file, new in beside}
    for file, new in reversed(
        list(files.items())
    ):  # the record of ``path`` last: with it the set holds
        known = bool(_siblings(file, "json"))
        if is_there(file) and not known and provenance is not None and content(file) != new:
            # a file without a record must not look edited if we are killed before it is replaced
            earlier = content(file)
            written[_sidecar(file, earlier)] = _without_record(earlier)
        if provenance is not None:
            written[_sidecar(file, new)] = f"{provenance.to_json()}\n".encode()
        elif known:
            written[_sidecar(file, new)] = _without_record(new)
    created = [there for there in written if not is_there(there)]
    for file in files:
        _remove_left(file)
    try:
        for there, text in written.items():
            atomic.write_bytes(there, text, what=f"what belongs to {what}")
        if in_place:  # writing it again might fail, with its new record there already
            last_look()
        else:
            atomic.write_bytes(path, data, what=what, last_look=last_look)
    except ArtifactError:  # else, as after an interrupt, the file may be in place
        _remove(created)
        raise
    for file, there in staged.items():
        _move(there, file, what)
    for file, new in files.items():
        kept = [_sidecar(file, new).name]
        if local_path(file) is None:  # nothing tells whether another writer of the same set lives
            kept.append(_beginning(file, data, new))
        left = _siblings(file, "json|waiting")
        _remove([other for other in left if not other.name.startswith(tuple(kept))])


def _move(waits: UPath | Path, path: UPath | Path, what: str) -> None:
    try:
        atomic.move(waits, path)
    except OSError as error:
        raise ArtifactWriteError(
            f"{what} is written, but one of its files is not in its place yet",
            where=str(path),
            expected="a place that the file can take",
            found=error.strerror or str(error),
            remedy="clear that place, and write it again; until then this package finds the file "
            f"at {waits}",
        ) from error


def waiting(path: UPath | Path, *contents: bytes) -> list[UPath | Path]:
    """Return the files that wait to take the place at ``path``.

    There is more than one only after a writer was killed, or in an object store.

    Args:
        path: the place.
        contents: of the file that it is beside, and of what waits; as many as are given must fit.
    """
    begins = _beginning(path, *contents)
    return [there for there in _siblings(path, "waiting") if there.name.startswith(begins)]


def read(path: UPath | Path, data: bytes) -> Provenance | None:
    """Return the provenance of the file at ``path`` with the content ``data``.

    It is ``None`` for a file that came without.

    Raises:
        DamagedArtifactError: the file has been changed since it was written.
    """
    own = _sidecar(path, data)
    others = _siblings(path, "json")
    if is_there(own):  # looked for last: a writer that gives a file a first record begins with it
        record = content(own)
        if _NO_RECORD.encode() in record and record == _without_record(data):
            return None
        return Provenance.from_json(record, where=str(own))
    if others:
        raise DamagedArtifactError(
            "the file was edited after it was written",
            where=label(path),
            expected=f"content that its record in {FOLDER} speaks of",
            found="other content",
            remedy=f"materialise it again; to keep your edit as a file of unknown origin, remove "
            f"{FOLDER}/{path.name}.*",
        )
    return None


def records(path: UPath | Path) -> list[UPath | Path]:
    """Return the files of all records of the file at ``path``, of its earlier contents too."""
    return _siblings(path, "json")


def _without_record(data: bytes) -> bytes:
    """The content of a sidecar that says: the file with this content came without provenance."""
    return f"{json.dumps(sealed({_NO_RECORD: hashlib.sha256(data).hexdigest()}))}\n".encode()


def _sidecar(path: UPath | Path, data: bytes) -> UPath | Path:
    return path.parent / FOLDER / f"{_beginning(path, data)}json"


def _waiting(path: UPath | Path, beside: bytes, data: bytes) -> UPath | Path:
    own = uuid.uuid4().hex[:16]
    return path.parent / FOLDER / f"{_beginning(path, beside, data)}{own}.waiting"


def _beginning(path: UPath | Path, *contents: bytes) -> str:
    """How the names of those sidecars begin that are about these contents."""
    return "".join(f"{part}." for part in (path.name, *map(_short, contents)))


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _siblings(path: UPath | Path, kinds: str) -> list[UPath | Path]:
    """All sidecars of the file that are of these kinds, of its earlier contents too."""
    return _matching(path, path.name, rf"(\.[0-9a-f]{{16}})+\.({kinds})")


def _matching(path: UPath | Path, begins: str, pattern: str) -> list[UPath | Path]:
    """What lies in the folder of sidecars with a name that begins so and goes on as ``pattern``."""
    folder = path.parent / FOLDER
    # one that is no file is refused in words, and not taken for missing
    names = [name for name in names_in(folder, odd=True) if name.startswith(begins)]
    return [folder / name for name in names if re.fullmatch(pattern, name[len(begins) :])]


def _remove_left(path: UPath | Path) -> None:
    """Removes what killed writers left unfinished; nobody else writes while the lock is held."""
    left = r"(\.[0-9a-f]{16})+\.\w+\.[0-9a-f]{32}\.tmp"
    _remove(_matching(path, f".{path.name}", left))


def _remove(paths: list[UPath | Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            atomic.remove(path)
