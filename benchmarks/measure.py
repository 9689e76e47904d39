"""What one benchmark reports, and how a command is timed."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measurement:
    """One number against its bar (an upper bound in the same unit; None: no bar)."""

    what: str
    seen: float
    unit: str
    limit: float | None

    @property
    def bar(self) -> str:
        """The bar in words."""
        return "none" if self.limit is None else f"under {self.limit:g} {self.unit}"

    @property
    def met(self) -> bool:
        """Whether the number is under its bar."""
        return self.limit is None or self.seen < self.limit

    @property
    def verdict(self) -> str:
        """``met``, ``missed``, or nothing."""
        if self.limit is None:
            return ""
        return "met" if self.met else "missed"


@dataclass(frozen=True)
class Timed:
    """Wall time (s) and peak resident memory (GB) of a command and its children."""

    seconds: float
    peak_gb: float
    output: str


def run(command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> Timed:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed; the message ends with its last output.
    """
    started = time.perf_counter()
    with subprocess.Popen(
        list(command),
        cwd=cwd,
        env={**os.environ, **(env or {})},
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
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0
