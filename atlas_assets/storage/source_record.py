"""Where a file was fetched from: a record in ``.provenance/`` beside it.

It is about one content and no other: once the file has been replaced or edited, the record is
about nothing, and counts as none.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict
from upath import UPath

from atlas_assets.errors import ArtifactError, DamagedArtifactError, MissingArtifactError
from atlas_assets.files import atomic
from atlas_assets.files.json_text import read_json, sealed, unsealed
from atlas_assets.files.locations import content, file_digest, file_size, is_there
from atlas_assets.storage.provenance import Origin
from atlas_assets.storage.sidecar import FOLDER

#: version 2 added `SourceRecord.on_main_branch`, and the digest of the record itself
FORMAT_VERSION: Literal[2] = 2
#: one repository of the paper, by the name on the dataset card and by the one in the release
PAPER_REPOSITORIES = ("piotrwilam/CSP-Atlas", "piotrwilam/AtlasCSP")


class SourceRecord(BaseModel):
    """A file of a dataset repository at one commit.

    Attributes:
        format_version: the version of this record's layout.
        repository: the repository on the Hub, ``owner/name``.
        revision: the full sha of the commit.
        path: the file's path inside the repository.
        sha256: the SHA-256 (hex) of the bytes that were fetched.
        size: their number.
        on_main_branch: whether the commit is one of the repository's main branch; ``None``: that
            was not asked, or the Hub did not say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1, 2] = FORMAT_VERSION
    repository: str
    revision: str
    path: str
    sha256: str
    size: int
    on_main_branch: bool | None = None

    @property
    def origin(self) -> Origin:
        """What a file without a record of its making is: the paper's, or unknown.

        It is the paper's if its repository is and its commit is one of the main branch: anybody may
        open a pull request, whose commits the repository holds too. Records of format version 1
        do not tell of which branch the commit was.
        """
        known = self.on_main_branch or self.format_version == 1
        return "release" if known and self.repository in PAPER_REPOSITORIES else "unknown"

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
    if not is_there(beside):
        return None
    try:
        told = unsealed(read_json(content(beside)), since=FORMAT_VERSION)
        return SourceRecord.model_validate(told)
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
    with contextlib.suppress(MissingArtifactError):
        if record and file_size(path) == record.size and file_digest(path) == record.sha256:
            return record
    return None


def source_of(path: UPath | Path, *beside: UPath | Path) -> SourceRecord | None:
    """Return what `read` does of a file, if those beside it were fetched at the same commit.

    It is ``None`` for a damaged record: reports must not fail on it.
    """
    with contextlib.suppress(ArtifactError):
        first, *others = map(read, (path, *beside))
        if first and all(other and str(other) == str(first) for other in others):
            return first
    return None
