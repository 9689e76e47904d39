"""Files named by a path on any fsspec filesystem, or given as bytes."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
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
from atlas_assets.files.remote import (
    is_remote,
    is_remote_folder,
    reaching,
    remote_content,
    remote_file,
    remote_names,
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
#: what changes whenever the content of a file may have changed
State = tuple[int | str, ...]


def local_path(source: Source) -> Path | None:
    """Return the path on this machine's disk, or ``None`` for bytes and remote filesystems."""
    if isinstance(source, bytes | Fetched):
        return None
    if isinstance(source, UPath):
        return None if is_remote(source) else Path(source.path)
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
        SettingsError: the store that it lies in cannot be reached.
        ForeignArtifactError: git-lfs has not downloaded it.
    """
    remote = is_remote(path)
    with explained(path), reaching(UPath(path)) if remote else nullcontext():
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
    if local_path(source) is None:
        with explained(source):
            data = remote_content(UPath(source))
        require_downloaded(data, source)
        return data
    with opened(source) as file:
        read: bytes = file.read()
    return read


def file_digest(path: UPath | Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes, which are not held in memory all at once."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_state(path: UPath | Path) -> State | None:
    """Return what changes whenever the content of a file may have changed.

    Of a local file that is device, inode, size and times, of a remote one what its store says of
    it. It is ``None`` where there is none, or one in a folder that may not be looked into.
    """
    local = local_path(path)
    if local is None:
        return remote_file(UPath(path))
    try:
        about = local.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def is_there(path: UPath | Path) -> bool:
    """Whether there is a file, or may be one in a folder that may not be looked into."""
    local = local_path(path)
    if local is None:
        return remote_file(UPath(path)) is not None
    try:
        return local.exists()
    except OSError:
        return True


def is_folder(path: UPath | Path) -> bool:
    """Whether there is a folder; an OSError where the system does not let that be seen."""
    local = local_path(path)
    return is_remote_folder(UPath(path)) if local is None else local.is_dir()


def file_size(path: UPath | Path) -> int:
    """Return the number of bytes of a file; 0 where there is none.

    Raises UnreadableArtifactError where it may not be looked at.
    """
    local = local_path(path)
    if local is None:
        return (remote_file(UPath(path)) or (0,))[0]
    with explained(path):
        return local.stat().st_size if local.exists() else 0


def names_in(folder: UPath | Path, *, odd: bool = False) -> list[str]:
    """Return the sorted names of the files in a folder; none if there is no such folder.

    With ``odd``, folders, pipes and whatever else has a name there are among them.

    Raises UnreadableArtifactError where the system does not let the folder be looked into.
    """
    local = local_path(folder)
    if local is None:
        return remote_names(UPath(folder))
    with explained(folder):
        if not local.is_dir():
            return []
        with os.scandir(local) as entries:
            return sorted(entry.name for entry in entries if odd or entry.is_file())
