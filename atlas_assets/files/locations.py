"""Files named by a path on any fsspec filesystem, or given as bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from upath import UPath

from atlas_assets.errors import ArtifactError, MissingArtifactError


@dataclass(frozen=True)
class Fetched:
    """A remote file whose bytes are here already.

    Attributes:
        path: where they came from.
        data: all of them.
    """

    path: UPath
    data: bytes


#: what a format can be read from
Source = UPath | Path | bytes | Fetched

_LOCAL_PROTOCOLS = ("", "file", "local")


def local_path(source: Source) -> Path | None:
    """The path on this machine's disk, or ``None`` for bytes and remote filesystems."""
    if isinstance(source, bytes | Fetched):
        return None
    if isinstance(source, UPath):
        return Path(source.path) if source.protocol in _LOCAL_PROTOCOLS else None
    return source


def label(source: Source) -> str:
    """The name of a source in error messages: its path, or the number of its bytes."""
    if isinstance(source, bytes):
        return f"{len(source)} bytes in memory"
    return str(source.path) if isinstance(source, Fetched) else str(source)


def content(source: Source) -> bytes:
    """All bytes of the source.

    Raises:
        MissingArtifactError: there is no such file.
        ArtifactError: the file cannot be read.
    """
    if isinstance(source, bytes):
        return source
    if isinstance(source, Fetched):
        return source.data
    try:
        return source.read_bytes()
    except FileNotFoundError as error:
        raise missing(source) from error
    except OSError as error:
        raise unreadable(source, error) from error


def fetched(source: Source) -> Source:
    """The source itself, or all its bytes if it lies on a remote filesystem."""
    if isinstance(source, UPath) and local_path(source) is None:
        return Fetched(source, content(source))
    return source


def file_digest(path: UPath | Path) -> str:
    """SHA-256 of a file's bytes, hex; a local file is not held in memory."""
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
    except FileNotFoundError as error:
        raise missing(path) from error
    except OSError as error:
        raise unreadable(path, error) from error
    return digest.hexdigest()


def missing(source: Source) -> MissingArtifactError:
    """The error for a file that is not there."""
    return MissingArtifactError(
        "the file is not there",
        where=label(source),
        expected="a file of an atlas",
        found="nothing at that path",
        remedy="materialise its asset, or point ATLAS_DATA_DIR and ATLAS_NAME at the atlas",
    )


def unreadable(source: Source, error: OSError) -> ArtifactError:
    """The error for a file that the operating system refuses to read."""
    return ArtifactError(
        "the file cannot be read",
        where=label(source),
        expected="a readable file",
        found=error.strerror or str(error) or type(error).__name__,
        remedy="check its permissions and the disk it lies on",
    )
