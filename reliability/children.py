"""Children of this process: each does one thing, has a time limit, and may be killed meanwhile.

They are forked, so that a loaded process is paid for once. A child may start threads, this process
must not: what they hold would be held for ever in the children. So nothing here computes with
polars, whose threads start with the first table, outside a child.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from atlas_assets.errors import AtlasError
from reliability.rows import Row, Seen

#: seconds that a case may take unless its part says otherwise
LIMIT = 60.0
Ready = Callable[[], None]


@dataclass(frozen=True)
class Ended:
    """How a child has ended.

    Attributes:
        answer: what its work returned (as JSON has it); None if it did not get there.
        error: type and message of the exception that ended its work.
        ours: whether that is an error of the package, with its remedy.
        status: exit status; the negative number of the signal that ended it.
        in_time: whether it ended by itself, or by the kill that was asked for, within its time.
        ready: seconds from its word that it is ready to its end.
        peak_mb: most memory it held, in MB, what it shares with this process included.
    """

    answer: Any
    error: str | None
    ours: bool
    status: int
    in_time: bool
    ready: float
    peak_mb: float

    def judge(self, seen: Seen, what: str) -> None:
        """Note a hang, an abort or a foreign exception of a child that nobody killed."""
        seen.peak_mb = max(seen.peak_mb, self.peak_mb)
        if not self.in_time:
            seen.note("hangs", what)
        elif self.status < 0:
            seen.note("aborts", f"{what}: {signal.Signals(-self.status).name}")
        elif self.error is not None and not self.ours:
            seen.note("foreign", f"{what}: {self.error}")

    def must(self) -> Any:
        """Return the answer of a child that has to succeed, or say what failed."""
        if self.error or self.status:
            raise RuntimeError(f"the harness itself failed: {self.error or self.status}")
        return self.answer


class Child:
    """A forked process that does one thing.

    Its work is given a function to call when what is measured or to be killed begins.
    """

    def __init__(self, work: Callable[[Ready], object]) -> None:
        back, to = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(back)
            _work(work, to)
        os.close(to)
        self._back, self._text = back, b""
        self._ready_at: float | None = None

    def end(self, *, limit: float = LIMIT, kill: tuple[int, float] | None = None) -> Ended:
        """Wait for the end; `kill` is a signal, and when to send it: seconds after ready."""
        due, at = time.monotonic() + limit, None
        in_time = True
        while True:
            if kill and at is None and self._ready_at is not None:
                at = self._ready_at + kill[1]
            soonest = due if at is None else min(due, at)
            if self._heard(soonest - time.monotonic()):
                break
            now = time.monotonic()
            if kill and at is not None and now >= at:
                self.send(kill[0])
                kill = at = None
            elif now >= due:
                in_time = False
                self.send(signal.SIGKILL)
                due = float("inf")
        os.close(self._back)
        _, status, usage = os.wait4(self.pid, 0)
        ended = time.monotonic() - (self._ready_at or time.monotonic())
        said = json.loads(self._text.rpartition(b"\n")[2] or b"{}") if status == 0 else {}
        return Ended(
            answer=said.get("answer"),
            error=said.get("error"),
            ours=said.get("ours", False),
            status=os.waitstatus_to_exitcode(status),
            in_time=in_time,
            ready=ended,
            peak_mb=usage.ru_maxrss / 1024,
        )

    def wait_ready(self, limit: float = LIMIT) -> None:
        """Wait until it says that it is ready, or has ended."""
        due = time.monotonic() + limit
        while self._ready_at is None and time.monotonic() < due:
            if self._heard(due - time.monotonic()):
                return

    def wait_stopped(self, limit: float = LIMIT) -> bool:
        """Wait until a signal has stopped it; whether one has."""
        due = time.monotonic() + limit
        while time.monotonic() < due:
            told = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if told is not None:
                return told.si_code == os.CLD_STOPPED
            time.sleep(0.001)
        return False

    def send(self, number: int) -> None:
        """Send it a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def _heard(self, seconds: float) -> bool:
        """Whether it has closed its end, after waiting so long for a word of it."""
        wait = None if seconds == float("inf") else max(0.0, seconds)
        if not select.select([self._back], [], [], wait)[0]:
            return False
        block = os.read(self._back, 1 << 16)
        self._text += block
        if self._ready_at is None and self._text.startswith(b"ready\n"):
            self._ready_at = time.monotonic()
        return not block


def run(
    work: Callable[[Ready], object],
    *,
    limit: float = LIMIT,
    kill: tuple[int, float] | None = None,
) -> Ended:
    """Let a child do it, and wait for its end."""
    return Child(work).end(limit=limit, kill=kill)


def _work(work: Callable[[Ready], object], to: int) -> None:
    """Does the work in the child, says what came of it, and ends the child."""
    said: dict[str, Any] = {}
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)
        if not os.environ.get("RELIABILITY_LOUD"):
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in range(3):
                os.dup2(null, descriptor)

        def ready() -> None:
            os.write(to, b"ready\n")

        said["answer"] = work(ready)
    except BaseException as error:
        said["error"] = f"{type(error).__name__}: {error}"
        # native code of a library may wrap an interrupt in an error of the library's own
        interrupted = "KeyboardInterrupt" in said["error"]
        said["ours"] = interrupted or isinstance(error, AtlasError)
    with contextlib.suppress(BaseException):
        text = f"\n{json.dumps(said)}".encode()
        while text:
            text = text[os.write(to, text) :]
    os._exit(0)


def killer(folder: Path, step: int, number: int = signal.SIGKILL) -> None:
    """From now on, send this process a signal when it touches the folder the ``step``-th time.

    A touch is opening, renaming, removing a file below it, or a flush to the disk. ``step`` 0
    sends nothing; `steps_taken` tells how many there were.
    """
    flush = os.fsync

    def touched(event: str, args: object) -> None:
        if event.split(".")[0] in ("open", "os") and str(folder) in str(args):
            _count(step, number)

    def fsync(descriptor: int) -> None:
        _count(step, number)
        flush(descriptor)
        _count(step, number)

    os.fsync = fsync  # type: ignore[assignment]
    sys.addaudithook(touched)


_taken = 0


def _count(step: int, number: int) -> None:
    global _taken
    _taken += 1
    if _taken == step:
        os.kill(os.getpid(), number)


def steps_taken() -> int:
    """Return how often this process has touched the folder of `killer`."""
    return _taken


def spread(
    row: Row, cases: int, case: Callable[[int], Seen], *, until: float, workers: int = 0
) -> Row:
    """Run the cases 0, 1, … on all cores, none begun after ``until``; count them in ``row``."""
    started = time.monotonic()
    workers = min(cases, workers or len(os.sched_getaffinity(0)))

    def some(first: int) -> list[Any]:
        found = []
        for number in range(first, cases, workers):
            if time.monotonic() >= until:
                break
            seen = case(number)
            found.append((number, seen.faults, seen.peak_mb, seen.cases))
        return found

    children = [Child(lambda _, first=first: some(first)) for first in range(workers)]  # type: ignore[misc]
    for ended in [child.end(limit=float("inf")) for child in children]:
        for number, faults, peak, counted in ended.must():
            row.add(number, Seen([(fault, note) for fault, note in faults], peak, counted))
    row.notes.sort(key=lambda note: int(note.split()[1].rstrip(":")))
    row.seconds = time.monotonic() - started
    return row


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder, which is the home of caches as well; it is removed at the end."""
    place = Path(tempfile.mkdtemp(prefix="atlas-reliability-"))
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(place / "cache")
    try:
        yield place
    finally:
        if before is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = before
        shutil.rmtree(place, ignore_errors=True)


def signal_of(draws: random.Random) -> int:
    """Return a drawn signal: as often SIGKILL as the two that a process may answer."""
    return draws.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))


@cache
def load() -> None:
    """Load what runs of jobs need, once and before any of them, without starting threads."""
    import importlib
    import io
    import pkgutil

    import torch
    from matplotlib.figure import Figure

    import atlas_assets
    from atlas_assets.models.loading import load as load_model
    from atlas_assets.models.sources import resolve

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(atlas_assets.__path__, "atlas_assets."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    load_model(resolve("embedded", None, ask_hub=False))  # compiles the kernels
    drawn = Figure()
    drawn.subplots().set_title("fonts")
    for kind in ("png", "pdf"):
        drawn.savefig(io.BytesIO(), format=kind)
