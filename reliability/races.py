"""Several processes at once: writers of one file, whole jobs, a pin, readers meanwhile.

Also writers that are stopped and go on, and clocks that are hours wrong.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from atlas_assets.atlas import versions
from atlas_assets.errors import ArtifactError
from atlas_assets.settings import AtlasSettings
from reliability import children, jobs, writes
from reliability.children import Child, Ready
from reliability.rows import Row, Seen, draw
from reliability.writes import Known, Subject

#: of writers, readers, pins, stops and clocks each; jobs are a twentieth as many
CASES = 120
ROUNDS = 12
#: seconds by which a clock is wrong, and files are older or newer than they are
JUMPS = (-10 * 365 * 86_400, -7200, 7200, 10 * 365 * 86_400)
Case = Callable[[Subject, Path, Known, random.Random], Seen]
CASES_OF: dict[str, tuple[str, str]] = {
    "writers": ("of several writers one wins whole", "2 and 4 processes write a file 12 times"),
    "readers": ("a reader during rewrites sees old or new", "2 readers in a loop, 12 rewrites"),
    "stops": ("a stopped writer spoils nothing", "SIGSTOP in a write, another write, SIGCONT"),
    "clocks": ("no clock spoils a write", "clock and times of files hours or years wrong"),
}


def run(seed: int, cases: int | None, until: float) -> list[Row]:
    """Run every kind of race; ``cases`` is the number of each."""
    wanted = cases or CASES
    kinds: dict[str, Case] = {
        "writers": _writers,
        "readers": _readers,
        "stops": _stopped,
        "clocks": _clocks,
    }
    # where the earlier state is made by hand, it is no write that could race
    chosen = [one for one in writes.subjects() if not one.name.endswith("without one")][:wanted]
    with children.folder() as place:
        known = [writes.undisturbed(one, place / str(i)) for i, one in enumerate(chosen)]
        tried = list(zip(chosen, known, strict=True))
        rows = [
            _on_files(place, tried, kind, case, (seed, wanted), until)
            for kind, case in kinds.items()
        ]
    rows.append(_pins(seed, wanted, until))
    if wanted >= 20:
        rows.append(_jobs(wanted // 20, until))
    return rows


def _on_files(
    place: Path,
    tried: list[tuple[Subject, Known]],
    kind: str,
    case: Case,
    draws_of: tuple[int, int],
    until: float,
) -> Row:
    seed, cases = draws_of

    def one(number: int) -> Seen:
        which, here = number % len(tried), place / f"{kind}{number}"
        subject, known = tried[which]
        shutil.copytree(place / str(which) / "start", here)
        seen = case(subject, here, known, draw(seed, f"races/{kind}", number))
        seen.faults = [(fault, f"{subject.name}: {what}") for fault, what in seen.faults]
        shutil.rmtree(here, ignore_errors=True)
        return seen

    return children.spread(Row(*CASES_OF[kind]), cases, one, until=until, workers=1)


def _all_well(seen: Seen, processes: list[Child], what: str) -> None:
    """Waits for children that must succeed."""
    for process in processes:
        ended = process.end()
        ended.judge(seen, what)
        if ended.error and ended.ours:
            seen.note("foreign", f"{what}: {ended.error}")
        for fault, told in ended.answer or ():
            seen.note(fault, f"{what}: {told}")


def _judge(seen: Seen, subject: Subject, here: Path, known: Known) -> Seen:
    """Adds what is wrong in the folder afterwards, and with the next write."""
    _all_well(seen, [Child(lambda _: writes.judged(subject, here, known))], "reading afterwards")
    return seen


def _writers(subject: Subject, here: Path, known: Known, draws: random.Random) -> Seen:
    seen = Seen()

    def write(new: bool, _: Ready) -> None:
        for _round in range(ROUNDS):
            subject.write(here, new, lambda: None)

    several = [Child(partial(write, bool(i % 2))) for i in range(draws.choice((2, 4)))]
    _all_well(seen, several, "a writer")
    return _judge(seen, subject, here, known)


def _readers(subject: Subject, here: Path, known: Known, draws: random.Random) -> Seen:
    seen, over = Seen(), here.with_suffix(".over")
    pause = draws.random() * known.seconds

    def read(_: Ready) -> list[tuple[str, str]]:
        found, due = [], time.monotonic() + children.LIMIT / 2
        while not over.exists() and time.monotonic() < due:
            try:
                state = subject.state(here)
            except ArtifactError as error:
                found.append(("foreign", f"a false alarm: {error}"))
                continue
            if state not in known.states:
                found.append(("silent", f"read {state}"))
        return found[:1]

    def write(_: Ready) -> None:
        for number in range(ROUNDS):
            subject.write(here, not number % 2, lambda: None)
            time.sleep(pause)

    readers = [Child(read) for _ in range(2)]
    _all_well(seen, [Child(write)], "the writer")
    over.touch()
    _all_well(seen, readers, "a reader")
    over.unlink()
    return _judge(seen, subject, here, known)


def _stopped(subject: Subject, here: Path, known: Known, draws: random.Random) -> Seen:
    """A writer stops in the middle; others read and write; it goes on."""
    seen, step = Seen(), draws.randint(1, known.steps)

    def write(ready: Ready) -> None:
        def begin() -> None:
            children.killer(here, step, signal.SIGSTOP)
            ready()

        subject.write(here, True, begin)

    stopped = Child(write)
    if not stopped.wait_stopped():
        seen.note("hangs", f"no stop at step {step}")
    # whoever waits for the lock of a stopped writer would wait for a minute
    holds_lock = any(word in subject.name for word in ("pin", "CSV", "PNG", "HTML", "Markdown"))
    if not holds_lock:
        _all_well(seen, [Child(lambda _: subject.write(here, False, lambda: None))], "the other")
    stopped.send(signal.SIGCONT)
    _all_well(seen, [stopped], f"the writer stopped at step {step}")
    return _judge(seen, subject, here, known)


def _clocks(subject: Subject, here: Path, known: Known, draws: random.Random) -> Seen:
    seen, files, clock = Seen(), draws.choice(JUMPS), draws.choice(JUMPS)
    for path in here.rglob("*"):
        os.utime(path, (time.time() + files,) * 2)

    def write(_: Ready) -> None:
        now = time.time
        time.time = lambda: now() + clock
        subject.write(here, True, lambda: None)
        if subject.state(here) != known.states[1]:
            raise ValueError("the write is not there")

    _all_well(seen, [Child(write)], f"a clock {clock} s wrong")
    return _judge(seen, subject, here, known)


def _pins(seed: int, cases: int, until: float) -> Row:
    row = Row("no change of a pin is lost", "2 and 4 processes put versions in force")

    def case(number: int) -> Seen:
        seen, many = Seen(), draw(seed, "races/pins", number).choice((2, 4))
        shas = [f"{i + 1:x}" * 40 for i in range(many)]
        with children.folder() as here:
            settings = AtlasSettings.build(data_dir=str(here), name="atlas", model="some/model")

            def promote(sha: str, _: Ready) -> None:
                versions.seen(settings, sha)
                versions.promote(settings, sha)

            def known(_: Ready) -> list[str]:
                pin = versions.pin_of(settings)
                return [] if pin is None else [version.sha for version in pin.versions]

            _all_well(seen, [Child(partial(promote, sha)) for sha in shas], "a process")
            lost = set(shas) - set(children.run(known).must())
        if lost:
            seen.note("lost", f"{len(lost)} of {many} versions")
        return seen

    return children.spread(row, cases, case, until=until, workers=1)


def _jobs(cases: int, until: float) -> Row:
    """Two and four jobs at once; the folder must be as after one."""
    children.load()
    row = Row("jobs in one folder make what one makes", "2 and 4 jobs atlas at once")
    with children.folder() as place:
        children.run(partial(jobs.execute, place / "whole"), limit=jobs.LIMIT).must()
        expected = jobs.files_of(place / "whole")

        def case(number: int) -> Seen:
            seen, here = Seen(), place / f"case{number}"
            many = [Child(partial(jobs.execute, here)) for _ in range(4 if number % 4 == 3 else 2)]
            for one in many:
                ended = one.end(limit=jobs.LIMIT)
                ended.judge(seen, "a job")
                if ended.error and ended.ours:
                    seen.note("foreign", f"a job: {ended.error}")
            found = jobs.files_of(here)
            if found.keys() - expected.keys():
                seen.note("left", ", ".join(sorted(found.keys() - expected.keys())))
            differ = sorted(name for name in expected if found.get(name) != expected[name])
            if differ:
                seen.note("silent", f"other bytes in {', '.join(differ)}")
            return seen

        return children.spread(row, cases, case, until=until, workers=1)
