"""Show how far a long computation is: lines in a log and, in a terminal or a notebook, a bar."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.util import find_spec
from time import monotonic
from typing import IO, TYPE_CHECKING

from atlas_assets.interrupts import raise_missed

if TYPE_CHECKING:
    from tqdm import tqdm

#: seconds between two log lines
LOG_INTERVAL = 10.0

_kept: ContextVar[IO[str] | None] = ContextVar("standard error as it was", default=None)


@dataclass(frozen=True)
class Progress:
    """Reports how many prompts of a task have been run, their rate and the time left.

    Where somebody watches (`is_watched`), a bar is drawn as well.

    Attributes:
        task: what the computation does, with which each line begins: ``"reading object prompts"``.
        log: takes one line of text, e.g. a Dagster context's ``log.info``; None logs nothing.
            The first and the last line of a task are always logged; between them, a line is logged
            once `LOG_INTERVAL` has passed.
    """

    task: str
    log: Callable[[str], object] | None = None

    @contextmanager
    def track(self, total: int) -> Iterator[Track]:
        """Report on a task of ``total`` prompts; its last line is logged only if nothing failed."""
        # where lines are logged, they say at the end what the bar said
        bar = bar_of(total, self.task, "prompts", leave=self.log is None)
        track = Track(self, total, bar)
        try:
            yield track
            track.finish()
        finally:
            if bar is not None:
                bar.close()


class Track:
    """The task that is running: it is told what has been done. Made by `Progress.track`."""

    def __init__(self, progress: Progress, total: int, bar: tqdm[None] | None) -> None:
        self._progress = progress
        self._total = total
        self._bar = bar
        self._run = 0
        self._earlier = 0
        self._start = self._logged = monotonic()
        self._say(f"{total:,} prompts to run")

    def advance(self, prompts: int) -> None:
        """Count ``prompts`` more as run now; raises an interrupt that was swallowed meanwhile."""
        raise_missed()
        self._run += prompts
        if self._bar is not None:
            self._bar.update(prompts)
        if monotonic() - self._logged >= LOG_INTERVAL:
            self._say(self._state())

    def skip(self, prompts: int) -> None:
        """Count ``prompts`` more as done by an earlier run; they are left out of the rate."""
        self._earlier += prompts
        if self._bar is not None:
            self._bar.initial += prompts
            self._bar.update(prompts)

    def finish(self) -> None:
        """Log how many prompts were run, how fast, and how many an earlier run had done."""
        elapsed = monotonic() - self._start
        line = f"{self._run:,} prompts in {duration(elapsed)}"
        if elapsed > 0 and self._run:
            line += f" ({self._run / elapsed:,.0f} prompts/s)"
        if self._earlier:
            line += f", {self._earlier:,} taken from an earlier run"
        self._say(line)

    def _state(self) -> str:
        done = self._run + self._earlier
        share = done / self._total if self._total else 1.0
        elapsed = monotonic() - self._start
        rate = self._run / elapsed if elapsed > 0 else 0.0
        line = f"{done:,} of {self._total:,} prompts ({share:.0%})"
        if rate > 0:
            left = max(self._total - done, 0) / rate
            line += f", {rate:,.0f} prompts/s, {duration(left)} left"
        return line

    def _say(self, line: str) -> None:
        self._logged = monotonic()
        if self._progress.log is not None:
            self._progress.log(f"{self._progress.task}: {line}")


@contextmanager
def standard_error_kept() -> Iterator[None]:
    """Within, `kept_standard_error` is standard error as it is now, and bars are drawn on it.

    Dagster puts a file in the place of a run's standard error, which is no terminal, and has a
    process copy it out that is ended as soon as the run is: the last lines would be lost.
    """
    descriptor = None
    # a stream that stands in for standard error, as in a notebook or a test, may have none
    if "ipykernel" not in sys.modules:
        with suppress(AttributeError, OSError, ValueError):
            descriptor = os.dup(sys.stderr.fileno())
    if descriptor is None:
        yield
        return
    encoding, errors = sys.stderr.encoding, sys.stderr.errors
    with os.fdopen(descriptor, "w", 1, encoding=encoding, errors=errors) as stream:
        before = _kept.set(stream)
        try:
            yield
        finally:
            _kept.reset(before)


def kept_standard_error() -> IO[str] | None:
    """Standard error as it was when `standard_error_kept` began; ``None`` where none is kept."""
    return _kept.get()


def is_watched() -> bool:
    """Whether standard error is a terminal, or this is the kernel of a notebook."""
    return (_kept.get() or sys.stderr).isatty() or "ipykernel" in sys.modules


def bar_of(total: int, task: str, unit: str, *, leave: bool = True) -> tqdm[None] | None:
    """A bar over ``total`` units where somebody watches; ``None`` where nobody does.

    It stays when it is full, unless ``leave`` is False.
    """
    if not is_watched():
        return None
    if "ipykernel" in sys.modules and find_spec("ipywidgets") is not None:
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    return tqdm(
        total=total,
        desc=task,
        unit=f" {unit}",
        dynamic_ncols=True,
        leave=leave,
        file=kept_standard_error(),
    )


def duration(seconds: float) -> str:
    """Say a time in words: ``8.2`` → ``"8 s"``, ``65`` → ``"1 min 05 s"``, 7500 → 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
