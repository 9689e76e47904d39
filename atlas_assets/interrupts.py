"""Interrupts (Ctrl-C) that were swallowed by what they met, raised again a moment later."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

#: what ends a run; Dagster treats the second as the first
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)

_ear: ContextVar[socket.socket | None] = ContextVar("where signals are heard", default=None)


@contextmanager
def remembered() -> Iterator[None]:
    """Within, `raise_missed` raises again an interrupt after which the program has gone on.

    An interrupt is an exception in whatever the main thread does at that moment. Where this is
    called from C, as while Numba compiles, or stands under an ``except`` without a class, the
    exception ends there. The interpreter's own handler writes each signal down before that
    (`signal.set_wakeup_fd`). Outside the main thread, and where somebody else listens, nothing is
    remembered.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ear, mouth = socket.socketpair()
    with ear, mouth:
        ear.setblocking(False)
        mouth.setblocking(False)
        before = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
        if before != -1:
            signal.set_wakeup_fd(before)
            yield
            return
        token, shown = _ear.set(ear), sys.unraisablehook
        sys.unraisablehook = lambda lost: None if _is_interrupt(lost) else shown(lost)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            sys.unraisablehook = shown
            _ear.reset(token)


def raise_missed() -> None:
    """Raise an interrupt again that came since the last call, as it would be raised now."""
    ear = _ear.get()
    if ear is None or threading.current_thread() is not threading.main_thread():
        return
    heard = b""
    with suppress(BlockingIOError):
        heard = ear.recv(4096)
    for number in _INTERRUPTS:
        if number in heard:
            signal.raise_signal(number)


def _is_interrupt(lost: Any) -> bool:
    """Whether an exception that nobody can catch is one, for which Python prints a traceback."""
    return not issubclass(lost.exc_type, Exception)
