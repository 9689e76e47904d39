"""Provenance of files that have no room for it, such as CSV, in ``.provenance/`` beside them.

A sidecar is named after the file and the digest of the file's bytes. It is written before the file
is replaced, and older ones are removed after, so whenever a writer is killed, whichever file is
in place finds its own sidecar. A file without any sidecar, as those of the release, has no record.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from pathlib import Path

from upath import UPath

from atlas_assets.errors import ArtifactWriteError, DamagedArtifactError
from atlas_assets.files import atomic
from atlas_assets.files.locations import content, label
from atlas_assets.storage.provenance import Provenance

FOLDER = ".provenance"
#: content of a sidecar that says: this very file came without provenance
_WITHOUT_RECORD = b"null\n"


def put(path: UPath | Path, data: bytes, provenance: Provenance | None, *, what: str) -> None:
    """Put ``data`` at ``path`` and its provenance (``None``: it has none) beside it.

    ``what`` says what is written. Where the disk refuses (ArtifactWriteError), an earlier file and
    its provenance are intact.
    """
    records = {}
    own = _sidecar(path, data)
    known = bool(_siblings(path))
    if path.exists() and not known and provenance is not None:
        # first: a file without a record must not look edited if we are killed before it is replaced
        records[_sidecar(path, content(path))] = _WITHOUT_RECORD
    if provenance is not None:
        records[own] = f"{provenance.to_json()}\n".encode()
    elif known:
        records[own] = _WITHOUT_RECORD
    created = [record for record in records if not record.exists()]
    try:
        for record, text in records.items():
            atomic.write_bytes(record, text, what=f"the provenance of {what}")
        atomic.write_bytes(path, data, what=what)
    except ArtifactWriteError:  # else, as after an interrupt, the file may be in place
        _remove(created)
        raise
    _remove([other for other in _siblings(path) if other.name != own.name])


def read(path: UPath | Path, data: bytes) -> Provenance | None:
    """Return the provenance of the file at ``path`` with the content ``data``.

    It is ``None`` for a file that came without.

    Raises:
        DamagedArtifactError: the file has been changed since it was written.
    """
    own = _sidecar(path, data)
    if own.exists():
        record = content(own)
        return None if record == _WITHOUT_RECORD else Provenance.from_json(record, where=str(own))
    if _siblings(path):
        raise DamagedArtifactError(
            "the file was edited after it was written",
            where=label(path),
            expected=f"content that its record in {FOLDER} speaks of",
            found="other content",
            remedy=f"materialise it again; to keep your edit as a file of unknown origin, remove "
            f"{FOLDER}/{path.name}.*",
        )
    return None


def _sidecar(path: UPath | Path, data: bytes) -> UPath | Path:
    return path.parent / FOLDER / f"{path.name}.{hashlib.sha256(data).hexdigest()[:16]}.json"


def _siblings(path: UPath | Path) -> list[UPath | Path]:
    """All sidecars of the file, of its earlier contents too."""
    folder = path.parent / FOLDER
    if not folder.exists():
        return []
    pattern = re.compile(re.escape(path.name) + r"\.[0-9a-f]{16}\.json")
    return [other for other in folder.iterdir() if pattern.fullmatch(other.name)]


def _remove(paths: list[UPath | Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
