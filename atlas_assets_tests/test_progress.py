"""What a user reads while a long computation runs."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from atlas_assets.progress import Progress, duration


class Clock:
    """Seconds that pass only when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("atlas_assets.progress.monotonic", clock)
    return clock


@pytest.fixture
def lines() -> list[str]:
    return []


def test_lines_come_first_and_last_and_at_the_interval(clock: Clock, lines: list[str]) -> None:
    with Progress("reading", lines.append).track(1000) as track:
        for _ in range(10):
            clock.now += 4
            track.advance(100)
    assert lines == [
        "reading: 1,000 prompts to run",
        "reading: 300 of 1,000 prompts (30%), 25 prompts/s, 28 s left",
        "reading: 600 of 1,000 prompts (60%), 25 prompts/s, 16 s left",
        "reading: 900 of 1,000 prompts (90%), 25 prompts/s, 4 s left",
        "reading: 1,000 prompts in 40 s (25 prompts/s)",
    ]


def test_prompts_of_an_earlier_run_count_as_done_but_not_in_the_rate(
    clock: Clock, lines: list[str]
) -> None:
    with Progress("reading", lines.append).track(1000) as track:
        track.skip(800)
        clock.now += 10
        track.advance(100)
        clock.now += 10
        track.advance(100)
    assert lines[1] == "reading: 900 of 1,000 prompts (90%), 10 prompts/s, 10 s left"
    assert lines[-1] == (
        "reading: 200 prompts in 20 s (10 prompts/s), 800 taken from an earlier run"
    )


def test_a_failure_gets_no_closing_line(lines: list[str]) -> None:
    with pytest.raises(RuntimeError), Progress("reading", lines.append).track(10):
        raise RuntimeError
    assert lines == ["reading: 10 prompts to run"]


def test_nothing_to_run(clock: Clock, lines: list[str]) -> None:
    with Progress("reading", lines.append).track(0) as track:
        clock.now += 10
        track.advance(0)
    assert lines == [
        "reading: 0 prompts to run",
        "reading: 0 of 0 prompts (100%)",
        "reading: 0 prompts in 10 s",
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_gets_a_bar_and_nothing_else_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with Progress("reading").track(4) as track:
        track.skip(1)
        track.advance(3)
    shown = capsys.readouterr().err
    assert ("reading: 100%" in shown) is terminal
    assert ("4/4" in shown) is terminal
    assert bool(shown) is terminal


def test_a_notebook_gets_a_bar_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    with Progress("reading").track(4) as track:
        track.advance(4)
    assert "4/4" in capsys.readouterr().err


def test_duration() -> None:
    texts = ["0 s", "59 s", "1 min 00 s", "59 min 59 s", "2 h 05 min"]
    assert [duration(seconds) for seconds in (0.2, 59.4, 59.6, 3599, 7500)] == texts
