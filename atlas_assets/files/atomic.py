"""Writes that happen completely or not at all.

The bytes go to a sibling of the target, are flushed to the disk, read back and compared, and only
then take the target's name. Whatever fails before that leaves an earlier file as it was.
An object store does the same by itself, in one request.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import shutil
import stat
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from upath import UPath

from atlas_assets.errors import ArtifactWriteError, AtlasError
from atlas_assets.files.locations import State, file_state, local_path
from atlas_assets.files.locks import lock, opened_mark
from atlas_assets.files.remote import is_object_store, said_by

#: a temporary file this old (seconds) was left by a writer, where no lock can tell
_ABANDONED_AFTER = 3600.0
#: the file that is locked as long as the process lives that made a temporary folder
_ALIVE = ".alive"
#: what is in a folder beside the one that is written: the new one, and the one that was there
_MADE, _EARLIER = "made", "earlier"
#: bytes that are read back at a time
_BLOCK = 1 << 20
#: stores that are asked to write only where a file is still the one that was read
_CONDITIONAL = ("s3", "s3a")
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
Somewhere = TypeVar("Somewhere", UPath, Path)
_NO_PERMISSION = (errno.EACCES, errno.EPERM, errno.EROFS)
#: there is a file where a folder must be, or a folder where a file must be
_IN_THE_WAY = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY)


def write_bytes(
    path: UPath | Path,
    data: bytes | memoryview,
    *,
    what: str,
    last_look: Callable[[], None] = lambda: None,
) -> None:
    """Put ``data`` at ``path``, on any fsspec filesystem, in one step; make the folder if need be.

    ``what`` is what is written, for the error message (``"object_masks"``). ``last_look`` is called
    when all is ready, just before that step, and may refuse by an error.

    Raises:
        ArtifactWriteError: the disk is full, the folder is read-only, or the bytes did not arrive
            as sent. The earlier file, if there was one, is intact and no temporary file is left.
    """
    local = local_path(path)
    try:
        if local is not None:
            _write_local(local, data, last_look)
        else:
            with _as_oserror():
                _write_remote(UPath(path), bytes(data), last_look)
    except OSError as error:
        raise explain(error, path, len(data), what) from error


def write_folder(folder: Path, files: Iterable[tuple[str, bytes]], *, what: str) -> dict[Path, int]:
    """Put a folder of files in the place of the one there, if any, as a whole.

    They are written beside it first. Where that fails, an earlier folder is as it was; where a
    process is killed between the last two steps, `settle_folder` brings it back.

    Args:
        folder: on this machine's disk.
        files: path of each in the folder, and its bytes.
        what: what is written, for the error message.

    Returns:
        path of each file → its number of bytes.

    Raises:
        ArtifactWriteError: as for `write_bytes`, or the folder cannot be moved.
    """
    folder = folder.resolve()
    sizes: dict[Path, int] = {}
    settle_folder(folder)
    try:
        with _held(partial(_folder_beside, folder)) as aside:
            for name, data in files:
                _write_local(aside / _MADE / name, data, lambda: None)
                sizes[folder / name] = len(data)
            try:
                if folder.exists():
                    folder.replace(aside / _EARLIER)
                (aside / _MADE).replace(folder)
            except BaseException:
                _put_back(aside, folder)
                raise
        _sync_folder(folder.parent)
    except OSError as error:
        raise explain(error, folder, sum(sizes.values()), what) from error
    return sizes


def settle_folder(folder: Path) -> None:
    """Undo what killed calls of `write_folder` began: the earlier folder is in its place again."""
    folder = folder.resolve()
    for aside in sorted(folder.parent.glob(f".{glob.escape(folder.name)}.*.tmp")):
        with contextlib.suppress(OSError):
            _remove_unless_alive(aside, partial(_put_back, aside, folder))


def _put_back(aside: Path, folder: Path) -> None:
    if (aside / _EARLIER).exists() and not folder.exists():
        (aside / _EARLIER).replace(folder)


def _folder_beside(folder: Path) -> Path:
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    aside.mkdir(parents=True)
    return aside


def write_large(
    path: Path, write: Callable[[Path], None], arrived: Callable[[Path], bool], *, what: str
) -> None:
    """Put at ``path`` what ``write`` puts into a new file that is there, as `write_bytes` does.

    For content that is not held in memory: ``arrived`` reads the flushed file back and says whether
    it holds what it should.
    """
    try:
        with _sibling(path) as temporary:
            _remove_abandoned(path)
            with os.fdopen(_created(temporary), "wb") as file:
                write(temporary)
                os.fsync(file.fileno())
                _require_arrived(arrived(temporary))
                temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise explain(error, path, None, what) from error


def write_if_unchanged(
    path: UPath | Path, data: bytes, earlier: State | None, *, what: str
) -> bool:
    """Do as `write_bytes`, unless another process has changed the file; return whether it was done.

    ``earlier`` is the `file_state` of what the change was made of. S3 compares it in the request
    that writes. On this machine's disk the caller holds the lock of `locks.exclusive`; of other
    stores it is not known whether somebody else writes at the same moment.
    """
    place = UPath(path)
    if place.protocol not in _CONDITIONAL:
        write_bytes(path, data, what=what)
        return True
    condition = {"IfMatch": str(earlier[1])} if earlier else {"IfNoneMatch": "*"}
    try:
        with _as_oserror():
            place.fs.pipe_file(place.path, data, **condition)
    except OSError as error:
        if file_state(path) != earlier:
            return False
        raise explain(error, path, len(data), what) from error
    return True


def move(source: UPath | Path, path: UPath | Path) -> None:
    """Let a file in a folder of the same disk take the place of the one at ``path``, in one step.

    Where the disk refuses, that is an OSError, and both files are as they were.
    """
    local, target = local_path(source), local_path(path)
    if local is not None and target is not None:
        local.replace(target)
        _sync_folder(target.parent)
    else:
        with _as_oserror():
            UPath(path).fs.mv(UPath(source).path, UPath(path).path)


def remove(path: UPath | Path) -> None:
    """Remove a file, if it is there; an OSError where that cannot be done."""
    with _as_oserror():
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A folder in the system's temporary one, which is removed at the end.

    Those of this user's earlier processes that were killed, of the same prefix, are removed before.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{glob.escape(prefix)}*"):
        with contextlib.suppress(OSError):
            _remove_unless_alive(left)
    with _held(lambda: Path(tempfile.mkdtemp(prefix=prefix))) as folder:
        yield folder


@contextlib.contextmanager
def _held(make: Callable[[], Path]) -> Iterator[Path]:
    """A new folder that `_remove_unless_alive` of other processes leaves alone; it is removed."""
    folder, descriptor = _made_folder(make)
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            _empty(folder)
        os.close(descriptor)
        with contextlib.suppress(OSError):
            _remove_emptied(folder)


def _made_folder(make: Callable[[], Path]) -> tuple[Path, int]:
    """A new folder, and the descriptor of the file in it that is locked as long as we live."""
    while True:
        folder = make()
        # without its mark, another process takes the folder for one that was left, and removes it
        with contextlib.suppress(FileNotFoundError):
            descriptor = opened_mark(folder / _ALIVE, os.O_CREAT | os.O_EXCL | os.O_RDWR)
            if lock(descriptor, wait=False) is not False and (folder / _ALIVE).exists():
                return folder, descriptor
            os.close(descriptor)


def _remove_unless_alive(folder: Path, before: Callable[[], None] = lambda: None) -> None:
    """Remove a folder of `_held` whose process was killed, after ``before`` was called."""
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != getattr(os, "geteuid", lambda: 0)():
        return
    with contextlib.suppress(OSError):
        folder.rmdir()  # its process was killed before it put a mark there, or after it removed it
        return
    descriptor = opened_mark(folder / _ALIVE)
    try:
        if lock(descriptor, wait=False):
            before()
            _empty(folder)
            _remove_emptied(folder)
    finally:
        os.close(descriptor)


def _empty(folder: Path) -> None:
    """Removes all but the mark, by which others know later that nobody uses the folder."""
    for each in folder.iterdir():
        if each.name != _ALIVE and each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        elif each.name != _ALIVE:
            each.unlink()


def _remove_emptied(folder: Path) -> None:
    if all(each.name == _ALIVE for each in folder.iterdir()):
        (folder / _ALIVE).unlink()
        folder.rmdir()


def _write_local(path: Path, data: bytes | memoryview, last_look: Callable[[], None]) -> None:
    with _sibling(path) as temporary:
        _remove_abandoned(path)
        with os.fdopen(_created(temporary), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            _verify(temporary, data)
            last_look()
            temporary.replace(path)
    _sync_folder(path.parent)


def _write_remote(path: UPath, data: bytes, last_look: Callable[[], None]) -> None:
    if is_object_store(path):  # a reader sees the earlier object or this one
        last_look()
        path.fs.pipe_file(path.path, data)
        _require_arrived(path.fs.cat_file(path.path) == data)
        return
    with _sibling(path) as temporary:
        temporary.write_bytes(data)
        _verify(temporary, data)
        last_look()
        path.fs.mv(temporary.path, path.path)


@contextlib.contextmanager
def _as_oserror() -> Iterator[None]:
    """Turns what the package of a store raises, which is of its own kinds, into an OSError."""
    try:
        yield
    except (OSError, AtlasError):
        raise
    except Exception as error:
        raise OSError(said_by(error)) from error


@contextlib.contextmanager
def _sibling(path: Somewhere) -> Iterator[Somewhere]:
    """A temporary file's path beside ``path``; whatever fails, no such file is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _verify(path: UPath | Path, data: bytes | memoryview) -> None:
    """Reads the file back and compares it with what was written, byte for byte."""
    with memoryview(data) as sent, path.open("rb") as file:
        length = 0
        while block := file.read(_BLOCK):
            if bytes(sent[length : length + len(block)]) != block:
                break
            length += len(block)
        _require_arrived(not block and length == len(sent))


def _require_arrived(same: bool) -> None:
    if not same:
        raise OSError(errno.EIO, "the bytes read back are not the bytes written")


def _remove_abandoned(path: Path) -> None:
    """A killed writer cannot clean up; the next one does, as soon as nobody holds the file."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(OSError):
            age = time.time() - left.stat().st_mtime
            with os.fdopen(opened_mark(left), "rb") as file:
                nobodys = lock(file.fileno(), wait=False)
                if nobodys or (nobodys is None and age > _ABANDONED_AFTER):
                    left.unlink()


def _created(temporary: Path) -> int:
    """The descriptor of a new file, which is locked while it is open."""
    while True:
        # 0o666 less the umask: other members of a group may read an atlas
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        lock(descriptor, wait=True)
        if temporary.exists():
            return descriptor
        os.close(descriptor)  # another writer took it for abandoned before it was locked


def _sync_folder(folder: Path) -> None:
    """Makes the new name survive a power cut; not every filesystem offers it for folders."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def explain(error: OSError, path: UPath | Path, size: int | None, what: str) -> ArtifactWriteError:
    """Return what the system says of a path, in words: what is wrong, and what to do."""
    expected = "all of it written" if size is None else f"{size:,} bytes written to it"
    remedy = "check the disk and run again"
    if error.errno in _NO_SPACE:
        remedy = f"free some space or set ATLAS_DATA_DIR to another disk{_free_space(path)}"
    elif error.errno in _NO_PERMISSION:
        expected = "a folder this process may write to"
        remedy = "give write permission, or set ATLAS_DATA_DIR to a folder that is writable"
    elif error.errno in _IN_THE_WAY:
        expected = "folders alone above it, and nothing of another kind in its place"
        remedy = "remove what is in the way, or name another place"
    elif local_path(path) is None:
        remedy = "check the network, the bucket and its credentials, and run again"
    return ArtifactWriteError(
        f"cannot write {what}; an earlier file is left as it was",
        where=str(path),
        expected=expected,
        found=error.strerror or str(error) or type(error).__name__,
        remedy=remedy,
    )


def _free_space(path: UPath | Path) -> str:
    local = local_path(path)
    parents = local.parents if local is not None else ()
    existing = next((folder for folder in parents if folder.is_dir()), None)
    if existing is None:
        return ""
    return f" ({shutil.disk_usage(existing).free:,} bytes are free on this one)"
