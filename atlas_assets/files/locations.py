"""Files named by a path on any fsspec filesystem, or given as bytes."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upath import UPath

from atlas_assets.errors import (
    HEAD,
    MissingArtifactError,
    UnreadableArtifactError,
    require_downloaded,
)


@dataclass(frozen=True)
class Fetched:
    """A file whose bytes are here already.

    Attributes:
        path: where the bytes came from.
        data: all bytes of the file.
    """

    path: UPath | Path
    data: bytes


#: what a format can be read from
Source = UPath | Path | bytes | Fetched

_LOCAL_PROTOCOLS = ("", "file", "local")


def local_path(source: Source) -> Path | None:
    """Return the path on this machine's disk, or ``None`` for bytes and remote filesystems."""
    if isinstance(source, bytes | Fetched):
        return None
    if isinstance(source, UPath):
        return Path(source.path) if source.protocol in _LOCAL_PROTOCOLS else None
    return source


def label(source: Source) -> str:
    """Return the name of a source in error messages: its path, or the number of its bytes."""
    if isinstance(source, bytes):
        return f"{len(source)} bytes in memory"
    return str(source.path) if isinstance(source, Fetched) else str(source)


@contextmanager
def opened(path: UPath | Path) -> Iterator[Any]:
    """Open a file to read its bytes.

    Raises:
        MissingArtifactError: there is no such file.
        UnreadableArtifactError: the operating system refuses to read it.
        ForeignArtifactError: git-lfs has not downloaded it.
    """
    with explained(path):
        _require_regular(local_path(path))
        with path.open("rb") as file:
            require_downloaded(file.read(HEAD), path)
            file.seek(0)
            yield file


@contextmanager
def explained(path: UPath | Path) -> Iterator[None]:
    """Turn what the operating system says of the file or folder at ``path`` into our errors.

    Raises:
        MissingArtifactError: it is not there.
        UnreadableArtifactError: the operating system refuses to read it.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingArtifactError(
            "the file is not there",
            where=str(path),
            expected="a file of an atlas",
            found="nothing at that path",
            remedy="materialise its asset, or point ATLAS_DATA_DIR and ATLAS_NAME at the atlas",
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: object, error: OSError) -> UnreadableArtifactError:
    """Return the error that the operating system refuses to read the file or folder at ``path``."""
    return UnreadableArtifactError(
        "the file or folder cannot be read",
        where=str(path),
        expected="a regular file or a folder that may be read",
        found=error.strerror or str(error) or type(error).__name__,
        remedy="check its permissions and the disk it lies on; nothing replaces it until then",
    )


def _require_regular(local: Path | None) -> None:
    if local is not None and not stat.S_ISREG(local.stat().st_mode):
        raise OSError("it is a folder, a pipe or a device")  # opening a pipe might never end


def content(source: Source) -> bytes:
    """Return all bytes of the source; a path is read as `opened` does."""
    if isinstance(source, bytes | Fetched):
        data = source if isinstance(source, bytes) else source.data
        require_downloaded(data, label(source))
        return data
    with opened(source) as file:
        read: bytes = file.read()
    return read


def file_digest(path: UPath | Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes, which are not held in memory all at once."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_state(path: UPath | Path) -> tuple[int, ...] | None:
    """Return device, inode, size and times of a local file; ``None`` where there is none.

    That is so of a file that is missing, remote, or in a folder that may not be looked into.

    One of these changes whenever the content of the file may have changed.
    """
    local = local_path(path)
    try:
        about = local.stat() if local else None
    except OSError:
        about = None
    if about is None:
        return None
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def is_there(path: UPath | Path) -> bool:
    """Whether there is a file, or may be one in a folder that may not be looked into."""
    try:
        return bool(path.exists())
    except OSError:
        return True
