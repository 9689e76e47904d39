"""Changes to a file that depend on what is in it, by one process at a time."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from upath import UPath

from atlas_assets.errors import ArtifactWriteError
from atlas_assets.files.locations import local_path

#: seconds; what is done under a lock takes milliseconds
_PATIENCE = 60.0


def opened_mark(path: Path, flags: int = os.O_RDONLY) -> int:
    """Return the descriptor of a file that tells something by its lock, with these flags of `os`.

    Raises:
        OSError: it cannot be opened, or is no regular file: a pipe would be waited for without end,
            a link may lead anywhere.
    """
    for safely in ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC"):  # not all of them on Windows
        flags |= getattr(os, safely, 0)
    descriptor = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no regular file")
    return descriptor


def lock(descriptor: int, *, wait: bool) -> bool | None:
    """Lock an open file until it is closed; return whether it is ours now, if that is known."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # the disk knows no locks
        return None
    return True


@contextmanager
def exclusive(path: UPath | Path, *, what: str, variable: str = "ATLAS_DATA_DIR") -> Iterator[None]:
    """Let no other process that asks for the same path run until the block has ended.

    The lock is held on a hidden, empty file beside ``path``, which stays. It ends with the
    process, however that ends. A path that is not on this machine's disk is not locked.

    Args:
        path: the file that the block reads and writes.
        what: what it is, for the error message.
        variable: the variable that names its folder, for the error message.

    Raises:
        ArtifactWriteError: the lock cannot be had: the folder is read-only, or another process
            has held it for a minute.
    """
    local = local_path(path)
    if local is None:
        yield
        return
    from filelock import FileLock  # only a writer needs it

    name = local.with_name(f".{local.name}.lock")
    # others of a group that shares the folder take it too
    lock = FileLock(name, timeout=_PATIENCE, mode=0o664)
    try:
        local.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:  # filelock's Timeout is one
        raise ArtifactWriteError(
            f"cannot write {what}; an earlier file is left as it was",
            where=str(name),
            expected="a lock that this process can take",
            found=error.strerror or str(error),
            remedy="wait for the process that holds it, or end that process; if there is none, "
            f"give write permission, or set {variable} to a folder that is writable",
        ) from error
    try:
        yield
    finally:
        lock.release()
