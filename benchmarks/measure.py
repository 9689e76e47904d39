"""What a benchmark reports, and how a command or a function is timed."""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Measurement:
    """One number against its bar.

    Attributes:
        what: was measured.
        seen: the number, a median where it was measured more than once.
        unit: of the number; ``×`` for a ratio.
        limit: the bar in the same unit; None: there is none.
        at_least: whether the number must reach the bar; else it must stay under it.
        note: how it came about, where the name does not say.
    """

    what: str
    seen: float
    unit: str
    limit: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def bar(self) -> str:
        """The bar in words."""
        if self.limit is None:
            return ""
        return f"{'at least' if self.at_least else 'under'} {self.limit:g} {self.unit}".rstrip()

    @property
    def met(self) -> bool:
        """Whether the number keeps its bar."""
        if self.limit is None:
            return True
        return self.seen >= self.limit if self.at_least else self.seen < self.limit

    @property
    def verdict(self) -> str:
        """``met``, ``missed``, or nothing."""
        if self.limit is None:
            return ""
        return "met" if self.met else "missed"


@dataclass(frozen=True)
class Table:
    """Numbers that are looked at together, such as how a cost grows."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float, ...], ...]


@dataclass(frozen=True)
class Findings:
    """What one benchmark found."""

    measurements: Sequence[Measurement]
    tables: Sequence[Table] = field(default=())


@dataclass(frozen=True)
class Timed:
    """Wall time (s) and peak resident memory (GB) of a command and its children."""

    seconds: float
    peak_gb: float
    output: str


def seconds(work: Callable[[], object], *, repeats: int = 3, warm: bool = True) -> float:
    """Median wall time of a call.

    Args:
        work: is called ``repeats`` times.
        repeats: how often.
        warm: whether to call it once before, unmeasured.
    """
    if warm:
        work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def alternately(first: Callable[[], float], second: Callable[[], float], repeats: int = 3) -> float:
    """Median ratio of what the two return, called in turns so that both see the same machine."""
    return statistics.median(first() / second() for _ in range(repeats))


def run(command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> Timed:
    """Run a command to its end, with compiled modules cached as an installed package has them.

    Raises:
        RuntimeError: it failed; the message ends with its last output.
    """
    started = time.perf_counter()
    with subprocess.Popen(
        list(command),
        cwd=cwd,
        env=_environment(env or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        peak = _PeakMemory(process.pid)
        peak.start()
        output, _ = process.communicate()
        peak.stop()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{output[-3000:]}")
    return Timed(time.perf_counter() - started, peak.gigabytes, output)


def _environment(changes: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with changes.

    Where ``PYTHONDONTWRITEBYTECODE`` is set, every start of a checkout would compile it anew,
    which the start of an installed package does not.
    """
    kept = {name: at for name, at in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **changes}


class _PeakMemory(threading.Thread):
    """Samples the summed resident memory of a process group from /proc."""

    def __init__(self, group: int) -> None:
        super().__init__(daemon=True)
        self._group = group
        self._done = threading.Event()
        self._peak_kb = 0

    @property
    def gigabytes(self) -> float:
        return self._peak_kb / 1e6

    def run(self) -> None:
        while not self._done.wait(0.1):
            self._peak_kb = max(self._peak_kb, sum(_resident_kb(pid) for pid in self._members()))

    def stop(self) -> None:
        self._done.set()
        self.join()

    def _members(self) -> list[int]:
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and _group_of(int(entry.name)) == self._group
        ]


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _resident_kb(pid: int) -> int:
    return _status_kb(pid, "VmRSS")


def own_peak_gb() -> float:
    """Peak resident memory of this process so far, in GB, as the kernel kept it."""
    return peak_gb(os.getpid())


def peak_gb(pid: int) -> float:
    """Likewise, of another process."""
    return _status_kb(pid, "VmHWM") / 1e6


def _status_kb(pid: int, key: str) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    for line in status.splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    return 0
