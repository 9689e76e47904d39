"""Folders of unfinished work, which a process holds as long as it lives or until it is done."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from pathlib import Path

from atlas_assets.files.locks import opened_mark

#: the file in a held folder that its holders have locked
_HELD = ".held"
_lock = threading.Lock()
#: the folders that a process holds, with the open file that the lock is on; a forked process
#: inherits the files of its parent and holds none of them
_descriptors: dict[tuple[int, Path], int] = {}


def hold(folder: Path) -> None:
    """Make a folder, if need be, and keep `remove_unless_held` of other processes from it.

    Several processes may hold the same folder. Where the disk knows no locks, nothing is held.

    Raises:
        OSError: the folder cannot be made.
    """
    with _lock:
        while (os.getpid(), folder) not in _descriptors:
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # removed since
                descriptor = opened_mark(folder / _HELD, os.O_CREAT | os.O_RDWR)
                _flock(descriptor, exclusive=False)
                if (folder / _HELD).exists():
                    _descriptors[os.getpid(), folder] = descriptor
                else:
                    os.close(descriptor)


def remove_unless_held(folder: Path) -> None:
    """Remove a folder of unfinished work, unless another process holds it or a folder in it.

    Raises:
        OSError: it cannot be removed.
    """
    for part in sorted(folder.glob(f"*/{_HELD}")):
        remove_unless_held(part.parent)
        if part.exists():
            return
    with _lock:
        descriptor = _descriptors.pop((os.getpid(), folder), None)
        if descriptor is None:
            with contextlib.suppress(FileNotFoundError):
                descriptor = opened_mark(folder / _HELD, os.O_RDWR)
        try:
            if descriptor is None or _flock(descriptor, exclusive=True):
                with contextlib.suppress(FileNotFoundError):
                    shutil.rmtree(folder)
        finally:
            if descriptor is not None:
                os.close(descriptor)


def clear(folder: Path | None) -> None:
    """Remove all unfinished work in a folder that no other process holds, as far as it can be."""
    if folder is None or not folder.is_dir():
        return
    for work in sorted(folder.iterdir()):
        with contextlib.suppress(OSError):
            remove_unless_held(work)
    with contextlib.suppress(OSError):  # another process is at something in it
        folder.rmdir()


def _flock(descriptor: int, *, exclusive: bool) -> bool:
    """Lock an open file without waiting; return whether nobody else's lock was in the way."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return True
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # the disk knows no locks
        return True
    return True
