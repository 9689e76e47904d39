"""Reading files that another process may be replacing, or writing to, at the same time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from upath import UPath

from atlas_assets.errors import (
    ArtifactError,
    BusyArtifactError,
    DamagedArtifactError,
    ForeignArtifactError,
)
from atlas_assets.files.locations import file_state, local_path
from atlas_assets.files.remote import is_listed, unlisted

Found = TypeVar("Found")
#: how often a file is read that is replaced each time while it is read
_ATTEMPTS = 20
#: seconds between two looks at files that belong together and do not fit
_PAUSE = 0.02


def read_steadily(
    files: Sequence[UPath | Path],
    read: Callable[[], Found],
    *,
    is_sure: Callable[[Found], bool] = lambda _: False,
) -> Found:
    """Return what ``read`` gives; it reads again where the files were replaced while it read.

    Args:
        files: what ``read`` reads.
        is_sure: whether what was found is known to be of one state of the files.

    Raises:
        BusyArtifactError: the content seems wrong, and another program is writing to it.
        ArtifactError: what ``read`` raises about files that do not change.
    """
    if any(map(is_listed, files)):
        with contextlib.suppress(ArtifactError):
            return read()
        with unlisted():  # a file may have been replaced since it was listed
            return _read_again(files, read, is_sure)
    return _read_again(files, read, is_sure)


def _read_again(
    files: Sequence[UPath | Path], read: Callable[[], Found], is_sure: Callable[[Found], bool]
) -> Found:
    for left in reversed(range(_ATTEMPTS)):
        before = [file_state(file) for file in files]
        try:
            found = read()
        except ArtifactError as error:
            changed = before != [file_state(file) for file in files]
            if left and changed:
                continue
            if left and len(files) > 1 and isinstance(error, DamagedArtifactError):
                time.sleep(_PAUSE)  # their writer may be between two of them
                continue
            if isinstance(error, DamagedArtifactError | ForeignArtifactError):
                require_not_written_to(files, error)
            raise
        if is_sure(found) or before == [file_state(file) for file in files]:
            break
    return found


def require_not_written_to(
    files: Sequence[UPath | Path], cause: ArtifactError | None = None
) -> None:
    """Raise BusyArtifactError where a program has locked one of the files to write to it."""
    for file in files:
        for _ in range(_ATTEMPTS):
            if not _is_locked_by_a_writer(local_path(file)):
                break
            time.sleep(_PAUSE)  # our own writers hold a new file for a moment after it has its name
        else:
            raise busy(file, "the lock of a program that has it open to write") from cause


def busy(where: object, found: str) -> BusyArtifactError:
    """Return the error that a program may be writing to a file."""
    return BusyArtifactError(
        "the file is open elsewhere, by a program that may be writing to it",
        where=str(where),
        expected="a file that no program has open to write to it",
        found=found,
        remedy="close it where it is open (a notebook with h5py.File(…, 'a') or 'r+'? `lsof` names "
        "the program), and try again; if no program has it open, run `h5clear -s` on the file, or "
        "remove it",
    )


def _is_locked_by_a_writer(path: Path | None) -> bool:
    """Whether a program holds the exclusive lock that HDF5 takes to write."""
    with contextlib.suppress(ImportError):
        import fcntl  # not on Windows

        # what cannot be opened or knows no locks is not known to be locked
        with contextlib.suppress(OSError):
            if path is None or not path.is_file():
                return False
            with path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return True
    return False
