"""Where a file was fetched from: a record in ``.provenance/`` beside it.

It is about one content and no other: once the file has been replaced or edited, the record is
about nothing, and counts as none.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from upath import UPath

from atlas_assets.errors import ArtifactError, DamagedArtifactError
from atlas_assets.files import atomic
from atlas_assets.files.json_text import read_json, sealed, unsealed
from atlas_assets.files.locations import content, file_digest
from atlas_assets.storage.provenance import Origin
from atlas_assets.storage.sidecar import FOLDER

FORMAT_VERSION = 1
#: one repository of the paper, by the name on the dataset card and by the one in the release
PAPER_REPOSITORIES = ("piotrwilam/CSP-Atlas", "piotrwilam/AtlasCSP")


class SourceRecord(BaseModel):
    """A file of a dataset repository at one commit.

    Attributes:
        format_version: the version of this record's layout.
        repository: the repository on the Hub, ``owner/name``.
        revision: the full sha of the commit.
        path: the file's path inside the repository.
        sha256: the SHA-256 (hex) of the file's bytes.
        size: the number of the file's bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    repository: str
    revision: str
    path: str
    sha256: str
    size: int

    @property
    def origin(self) -> Origin:
        """What a file without a record of its making is: the paper's if its repository is."""
        return "release" if self.repository in PAPER_REPOSITORIES else "unknown"

    def __str__(self) -> str:
        return f"{self.repository}@{self.revision[:12]}"


def record_path(path: UPath | Path) -> UPath | Path:
    """Return the path of the record of the file at ``path``, there or not."""
    return path.parent / FOLDER / f"{path.name}.source.json"


def write(path: UPath | Path, record: SourceRecord) -> None:
    """Note where the file at ``path`` was fetched from; an earlier record is replaced whole."""
    text = f"{json.dumps(sealed(record.model_dump()))}\n"
    atomic.write_bytes(record_path(path), text.encode(), what="the record of a file's source")


def noted(path: UPath | Path) -> SourceRecord | None:
    """Return the record beside the file, whatever the file holds by now; ``None`` if there is none.

    A damaged record is an ArtifactError.
    """
    beside = record_path(path)
    if not beside.exists():
        return None
    try:
        return SourceRecord.model_validate(unsealed(read_json(content(beside))))
    except ValueError as error:
        raise DamagedArtifactError(
            "the record of a file's source is damaged",
            where=str(beside),
            expected=f"a JSON record of format version {FORMAT_VERSION}",
            found=str(error).splitlines()[0],
            remedy="remove it, or fetch the file again",
        ) from error


def read(path: UPath | Path) -> SourceRecord | None:
    """Return where the present content of a file was fetched from; ``None``: nowhere.

    A damaged record is an error, as for `noted`.
    """
    record = noted(path)
    if record is None or not path.exists() or int(path.stat().st_size) != record.size:
        return None
    return record if file_digest(path) == record.sha256 else None


def source_of(path: UPath | Path) -> SourceRecord | None:
    """Return what `read` does, and none for a damaged record: reports must not fail on it."""
    with contextlib.suppress(ArtifactError):
        return read(path)
    return None
