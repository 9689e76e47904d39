"""An interrupt that was swallowed is raised again, once, and nothing else is."""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from contextlib import suppress

import pytest

from atlas_assets.interrupts import raise_missed, remembered
from atlas_assets.progress import Progress


def swallow() -> None:
    with suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def swallow_called_from_c() -> None:
    """As Numba does while it compiles."""
    ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(signal.SIGINT))()


@pytest.mark.parametrize("swallowing", [swallow, swallow_called_from_c])
def test_a_swallowed_interrupt_is_raised_at_the_next_batch(
    swallowing: object, capfd: pytest.CaptureFixture[str]
) -> None:
    assert callable(swallowing)
    with remembered(), Progress("reading").track(2) as track:
        track.advance(1)
        swallowing()
        with pytest.raises(KeyboardInterrupt):
            track.advance(1)
    assert "Traceback" not in capfd.readouterr().err


def test_no_interrupt_is_raised_where_none_is_remembered() -> None:
    swallow()
    raise_missed()
    with remembered():
        raise_missed()
        thread = threading.Thread(target=raise_missed)
        swallow()
        thread.start()  # signals are the main thread's
        thread.join()
        with remembered(), pytest.raises(KeyboardInterrupt):
            raise_missed()
    raise_missed()
    assert signal.set_wakeup_fd(-1) == -1


def test_other_exceptions_that_nobody_can_catch_are_shown_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: shown.append(lost.exc_type))
    with remembered():
        ctypes.CFUNCTYPE(None)(lambda: 1 / 0)()  # type: ignore[arg-type]
    assert shown == [ZeroDivisionError]


def test_in_another_thread_nothing_is_remembered_and_all_goes_on() -> None:
    done: list[bool] = []

    def work() -> None:
        with remembered():
            raise_missed()
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done
