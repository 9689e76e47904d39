"""Content from elsewhere is first read in a process of its own, and only then in this one.

A damaged or hostile file can make the libraries that read HDF5, parquet and PNG hang, fill the
memory or abort the process. So a file's content, known by its SHA-256, has one of two levels of
trust:

* *ours*: a process of this user wrote it, or has read it before without harm. It is read at once.
* *foreign*: everything else, such as what was fetched, copied here, edited or damaged. A child
  process with limits on memory and time reads all of it first (`storage.examine`). If that process
  survives, the content counts as ours from then on; if not, it is refused.

What is in the file plays no part in this; a reader still validates all that it hands over. The
digests, and for speed those of the states (inode, size, times) of files on disk, are kept in
``harmless.txt`` in the user's cache folder, and in memory alone where there is no such folder.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

from atlas_assets.errors import ArtifactError
from atlas_assets.files.locations import (
    Source,
    content,
    file_digest,
    file_state,
    label,
    local_path,
    opened,
)

#: seconds of processor time that reading may take, and more per byte of the file
SECONDS, SECONDS_PER_BYTE = 30, 2e-6
#: bytes of memory that reading may need, and more per byte of the file
MEMORY, MEMORY_PER_BYTE = 1 << 30, 16
#: the program that reads foreign content, and the folder that Python finds it in
_PROGRAM, _ROOT = "atlas_assets.storage.examine", Path(__file__).resolve().parents[2]
#: what that program is told of the environment: no token, and no setting of an atlas
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
#: seconds by the clock per second of processor time, for a busy machine
_PATIENCE = 20
#: seconds after which a change of a file is sure to show in its times
_SETTLED = 2
#: the list of digests starts anew beyond this size in bytes
_LONGEST_LIST = 1 << 22


def cache_folder() -> Path | None:
    """Return the folder of this user's caches, there or not; None where the user has no home."""
    told = os.environ.get("XDG_CACHE_HOME")
    if told and Path(told).is_absolute():
        return Path(told) / "atlas_assets"
    try:
        return Path.home() / ".cache" / "atlas_assets"
    except RuntimeError:  # no HOME, and no entry for the user id
        return None


def note_written(data: bytes) -> None:
    """Note that this process made the content ``data``, so that it is read without more ado."""
    _known.add(hashlib.sha256(data).hexdigest())


def require_harmless(source: Source, kind: str) -> None:
    """Let a child process read content that is not known yet, and refuse it if that goes wrong.

    Args:
        source: a path, or the content itself.
        kind: the file format, as `stages.artifact.Kind`.

    Raises:
        MissingArtifactError: there is no such file.
        ArtifactError: it is not a regular file, or reading it crashed a process, took too long or
            needed too much memory.
    """
    if _examiner is None:
        return
    local = local_path(source)
    if local is None:
        data = content(source)
        digest = hashlib.sha256(data).hexdigest()
        if digest not in _known:
            with tempfile.TemporaryDirectory(prefix="atlas-examined-") as folder:
                copy = Path(folder) / "content"
                copy.write_bytes(data)
                _examine(copy, kind, label(source))
            _known.add(digest)
        return
    if local.exists() and not local.is_file():
        raise ArtifactError(
            "the file cannot be read",
            where=label(source),
            expected="a regular file",
            found="a folder, a pipe or a device",
            remedy="move it away and materialise or fetch the file again",
        )
    with opened(local):  # a file that is missing or must not be read is named as such
        state = _name_of_state(local)
    if state in _known:
        return
    digest = file_digest(local)
    if digest not in _known:
        _examine(local, kind, label(source))
        _known.add(digest)
    if time.time() - local.stat().st_ctime > _SETTLED:
        _known.add(state)


def examine_nothing() -> None:
    """Let this process read everything at once; the examining process itself calls this."""
    global _examiner
    _examiner = None


def n_examined() -> int:
    """Return how many files this process has let its child process read."""
    return _examiner.n_read if _examiner is not None else 0


class _Digests:
    """The digests of what a process of this user read or wrote without harm."""

    def __init__(self) -> None:
        self._found: set[str] = set()
        self._read = 0

    def __contains__(self, digest: str) -> bool:
        if digest not in self._found:
            self._refresh()
        return digest in self._found

    def add(self, digest: str) -> None:
        """Add a digest, to the file too where it can be written."""
        if digest in self._found:
            return
        self._found.add(digest)
        folder = cache_folder()
        if folder is None:
            return
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "harmless.txt"
            if path.exists() and path.stat().st_size > _LONGEST_LIST:
                path.unlink()
            # a line is written at once, so those of other processes stay whole
            with path.open("ab", buffering=0) as file:
                file.write(f"{digest}\n".encode())

    def _refresh(self) -> None:
        """Read the lines that other processes have added since."""
        folder = cache_folder()
        with contextlib.suppress(OSError):
            path = (folder or Path(os.devnull)) / "harmless.txt"
            if path.stat().st_size == self._read:
                return
            lines = path.read_bytes()
            self._read = len(lines)
            self._found |= {line.decode("ascii", "replace") for line in lines.split(b"\n")}


class _Examiner:
    """The child process that reads foreign content; it ends by itself when it has nothing to do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self.n_read = 0

    def read(self, path: Path, kind: str) -> str | None:
        """Let the child read a file; return what went wrong, or None."""
        self.n_read += 1
        size = path.stat().st_size
        seconds = int(SECONDS + SECONDS_PER_BYTE * size)
        memory = MEMORY + MEMORY_PER_BYTE * size
        request = "\0".join((kind, str(seconds), str(memory), str(path.absolute())))
        with self._lock:
            for _ in range(3):
                child = self._ready()
                answer = _answer(child, os.fsencode(request), seconds * _PATIENCE)
                if answer == b"done\n":
                    return None
                if answer == b"memory\n":
                    return f"reading it needed more than {memory:,} bytes of memory"
                self._child = None
                if answer is None:
                    child.kill()
                code = _end(child)
                if answer is None or code == -signal.SIGXCPU:
                    return f"reading it took more than {seconds} seconds"
                if code < 0:
                    ended = signal.Signals(-code).name
                    return f"reading it ended the process that did so, with {ended}"
                # it had nothing to do for a while, and was ending when it was asked: once more
        return f"the process that should read it ends at once, with exit status {code}"

    def _ready(self) -> subprocess.Popen[bytes]:
        child = self._child
        if child is None or child.poll() is not None or self._owner != os.getpid():
            child = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # of the folder that this package is in, and not of any that the user is in
                env={**_passed_on(), "PYTHONPATH": str(_ROOT)},
                cwd=_ROOT,
                start_new_session=True,
            )
            self._child, self._owner = child, os.getpid()
            atexit.register(_end, child)
        return child


_known = _Digests()
_examiner: _Examiner | None = _Examiner()


def _passed_on() -> dict[str, str]:
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def _name_of_state(path: Path) -> str:
    return hashlib.sha256(repr(file_state(path)).encode()).hexdigest()


def _examine(path: Path, kind: str, where: str) -> None:
    assert _examiner is not None
    problem = _examiner.read(path, kind)
    if problem is not None:
        raise ArtifactError(
            "the file cannot be read without harm, so it is refused",
            where=where,
            expected="a file of an atlas, which any program can read",
            found=problem,
            remedy="materialise it again, or fetch it again from a source that you trust",
        )


def _end(child: subprocess.Popen[bytes]) -> int:
    """Close the child's input, upon which it ends, and return its exit status."""
    for pipe in (child.stdin, child.stdout):
        with contextlib.suppress(OSError):
            pipe.close()  # type: ignore[union-attr]
    return child.wait()


def _answer(child: subprocess.Popen[bytes], request: bytes, seconds: float) -> bytes | None:
    """The child's answer, empty if it ended without one; None if none came in time."""
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(len(request).to_bytes(4, "big") + request)
        child.stdin.flush()
    with DefaultSelector() as selector:
        selector.register(child.stdout, EVENT_READ)
        if not selector.select(seconds):
            return None
    return child.stdout.readline()
