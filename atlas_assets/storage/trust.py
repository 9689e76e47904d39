"""Content from elsewhere is first read in a process of its own, and only then in this one.

A damaged or hostile file can make the libraries that read HDF5, parquet and PNG hang, fill the
memory or abort the process. So the content of a file, known by its format and SHA-256, has one of
two levels of trust:

* *ours*: a process of this user wrote it, or has read it before without harm. It is read at once.
* *foreign*: everything else, such as what was fetched, copied here, edited or damaged. A child
  process with limits on memory and time reads all of it first (`storage.examine`). If that process
  reads it all without an error, the content counts as ours from then on; if not, it is refused.

What is in the file plays no part in this; a reader still validates all that it hands over. What is
known is kept in ``harmless-2.txt`` in the user's cache folder, in memory alone where there is none:
a line per content, and for speed one per state (inode, size, times) of a file on disk.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import IO, Any

from atlas_assets import errors
from atlas_assets.errors import AtlasError, ForeignArtifactError
from atlas_assets.files.locations import (
    Source,
    content,
    file_digest,
    file_state,
    label,
    local_path,
)
from atlas_assets.files.locks import opened_mark
from atlas_assets.stages.prompts import own_file

#: seconds of processor time that reading may take, and more per byte of the file
SECONDS, SECONDS_PER_BYTE = 10, 2e-6
#: bytes of memory that reading may need, and more per byte of the file
MEMORY, MEMORY_PER_BYTE = 1 << 30, 4
#: the program that reads foreign content, and the folder that Python finds it in
_PROGRAM, _ROOT = "atlas_assets.storage.examine", Path(__file__).resolve().parents[2]
#: what that program is told of the environment: no token, and no setting of an atlas
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
#: seconds by the clock per second of processor time, for a busy machine
_PATIENCE = 20
#: how often a process may be killed over one content before that is taken for the content's doing
_DEATHS = 2
#: seconds after which a change of a file is sure to show in its times
_SETTLED = 2
#: the list starts anew beyond this size in bytes
_LONGEST_LIST = 1 << 22

_log = logging.getLogger(__name__)
_examining = True


def cache_folder() -> Path | None:
    """Return the folder of this user's caches, there or not; None where the user has no home."""
    told = os.environ.get("XDG_CACHE_HOME")
    if told and Path(told).is_absolute():
        return Path(told) / "atlas_assets"
    try:
        return Path.home() / ".cache" / "atlas_assets"
    except RuntimeError:  # no HOME, and no entry for the user id
        return None


def note_written(data: bytes, kind: str) -> None:
    """Note that this process made ``data`` as a file of that kind, so that it is read at once."""
    note_harmless(hashlib.sha256(data).hexdigest(), kind)


def note_harmless(digest: str, kind: str) -> None:
    """Note as `note_written` does, of a content known by its SHA-256 (hex)."""
    _known.add(kind, digest)


def require_harmless(source: Source, kind: str) -> None:
    """Let a child process read content that is not known yet, and refuse it if that goes wrong.

    Args:
        source: a path, or the content itself.
        kind: the file format, as `stages.artifact.Kind`. What is harmless as one need not be so
            as another.

    Raises:
        MissingArtifactError: there is no such file.
        UnreadableArtifactError: it cannot be opened.
        ForeignArtifactError: reading it crashed a process, took too long or needed too much memory.
    """
    if not _examining:
        return
    local = local_path(source)
    if local is None:
        _require_known(content(source), kind, label(source))
        return
    state = _name_of_state(local)
    if _known.has(kind, state):
        return
    if not _known.has(kind, file_digest(local)):
        # what counts as harmless afterwards is what the child has seen, whatever the file is then
        _require_known(content(source), kind, label(source))
    settled = time.time() - local.stat().st_ctime > _SETTLED
    if settled and _name_of_state(local) == state:
        _known.add(kind, state)


def examine_nothing() -> None:
    """Let this process read everything at once; the examining process itself calls this."""
    global _examining
    _examining = False


class _Known:
    """What a process of this user read or wrote without harm: kinds, each with a digest."""

    def __init__(self) -> None:
        self._found: set[str] = set()
        self._read = 0

    def has(self, kind: str, digest: str) -> bool:
        """Whether that is known, to this process or to another one."""
        if f"{kind} {digest}" not in self._found:
            self._refresh()
        return f"{kind} {digest}" in self._found

    def add(self, kind: str, digest: str) -> None:
        """Note it, in the file too where that can be written."""
        line = f"{kind} {digest}"
        path = _list_of_known()
        if line in self._found or path is None:
            self._found.add(line)
            return
        self._found.add(line)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and path.stat().st_size > _LONGEST_LIST:
                path.unlink()
            # a line is written at once, so those of other processes stay whole
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            with os.fdopen(opened_mark(path, flags), "ab", buffering=0) as file:
                file.write(f"{line}\n".encode())

    def _refresh(self) -> None:
        """Read the lines that were added since, by this process or by others."""
        path = _list_of_known()
        with contextlib.suppress(OSError):
            if path is None or (size := path.stat().st_size) == self._read:
                return
            with os.fdopen(opened_mark(path), "rb") as file:
                # a shorter list is a new one
                file.seek(self._read if size > self._read else 0)
                lines = file.read(2 * _LONGEST_LIST)
                self._read = file.tell()
            self._found.update(lines.decode("ascii", "replace").splitlines())


_known = _Known()


class _Examiner:
    """The child process that reads foreign content; it ends by itself when it has nothing to do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        # a forked process has children of its own, and the lock may be another thread's
        os.register_at_fork(after_in_child=self._forget)
        atexit.register(self._stop)

    def read(self, data: bytes, kind: str, where: str) -> str | None:
        """Let the child read a content; return what went wrong, or None.

        An error that it found is raised, as one about the file ``where``.
        """
        seconds = int(SECONDS + SECONDS_PER_BYTE * len(data))
        memory = int(MEMORY + MEMORY_PER_BYTE * len(data))
        request = f"{kind} {seconds} {memory} {len(data)}\n".encode()
        deaths, ended = 0, 0
        with self._lock:
            for _ in range(2 * _DEATHS):
                try:
                    answer = self._asked(request, data, seconds * _PATIENCE)
                except BaseException:
                    self._stop()  # its answer would be taken for that to the next request
                    raise
                if answer == b"done\n":
                    return None
                if answer and answer.startswith(b"{") and answer.endswith(b"\n"):
                    raise _found(json.loads(answer), label(data), where)
                if answer == b"memory\n":
                    return f"reading it needed more than {memory:,} bytes of memory"
                # one that ends by itself is let end, so that its status tells why
                ended = self._stop(patience=0 if answer is None else 10)
                if answer is None or ended == -signal.SIGXCPU:
                    return f"reading it took more than {seconds} seconds"
                # one that had nothing to do for a while may have been ending when it was asked, and
                # somebody else may have killed it
                deaths += ended < 0
                if deaths == _DEATHS:
                    break
        how = signal.Signals(-ended).name if ended < 0 else f"exit status {ended}"
        return f"reading it ended the process that did so, with {how}"

    def _asked(self, request: bytes, data: bytes, seconds: float) -> bytes | None:
        """The child's answer, empty if it ended without one; None if none came in time."""
        if self._child is None or self._child.poll() is not None:
            self._stop()
            self._child = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # of the folder that this package is in, and not of any that the user is in
                env={**_passed_on(), "PYTHONPATH": str(_ROOT)},
                cwd=_ROOT,
                start_new_session=True,
            )
        to, back = _pipes(self._child)
        # a child that was stopped takes no more of it than a pipe holds
        threading.Thread(target=_send, args=(to, request, data), daemon=True).start()
        with DefaultSelector() as selector:
            selector.register(back, EVENT_READ)
            return back.readline() if selector.select(seconds) else None

    def _stop(self, patience: float = 0) -> int:
        """End the child, if there is one, after so many seconds; return its exit status."""
        child, self._child = self._child, None
        if child is None:
            return 0
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience)
        child.kill()
        for pipe in _pipes(child):
            with contextlib.suppress(OSError):
                pipe.close()
        return child.wait()

    def _forget(self) -> None:
        self._lock, self._child = threading.Lock(), None


@functools.cache
def _examiner() -> _Examiner:
    return _Examiner()


def _send(to: IO[bytes], *parts: bytes) -> None:
    with contextlib.suppress(OSError, ValueError):  # the child has ended, or the pipe is closed
        for part in parts:
            to.write(part)
        to.flush()


def _require_known(data: bytes, kind: str, where: str) -> None:
    digest = hashlib.sha256(data).hexdigest()
    if _known.has(kind, digest):
        return
    _log.info("%s is foreign: a process of its own reads it first", where)
    problem = _examiner().read(data, kind, where)
    if problem is not None:
        raise ForeignArtifactError(
            "the file cannot be read without harm, so it is refused",
            where=where,
            expected="a file of an atlas, which any program can read",
            found=problem,
            remedy="remove it, then materialise it or fetch it from a source that you trust",
        )
    _known.add(kind, digest)


def _found(told: dict[str, Any], there: str, here: str) -> AtlasError:
    """The error that the child found in a content, which it has under another name."""
    kind: type[AtlasError] = getattr(errors, told.pop("kind"))
    place = (told.pop("where") or there).replace(there, here, 1)
    return kind(told.pop("what"), where=place, **told)


def _list_of_known() -> Path | None:
    folder = cache_folder()
    return folder / "harmless-2.txt" if folder else None


def _passed_on() -> dict[str, str]:
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def _name_of_state(path: Path) -> str:
    return hashlib.sha256(repr(file_state(path)).encode()).hexdigest()


def _pipes(child: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if child.stdin is None or child.stdout is None:
        raise ValueError("the process was started without pipes")
    return child.stdin, child.stdout


# a stage, which reads the files that a user names, imports nothing of this room
own_file.judge_with(require_harmless)
