"""Disks that are full, read-only or slow, and processes with few descriptors or little memory.

Single writes meet the bad disk; a whole job meets the limits of a process. What cannot be done is
refused with an error of the package, and what was there stays as it was. A slow disk is a write
whose flushes are delayed in the process itself: there is no filesystem of our own underneath.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from atlas_assets.errors import AtlasError
from reliability import children, jobs, writes
from reliability.children import Ready
from reliability.rows import Row, Seen, draw
from reliability.writes import Known, Subject

#: of full, limited, read-only and slow disks each
CASES = 55
NOBODY = 65534
MB = 1 << 20
#: limits of a whole job: what, which resource, how much; 0 is added to what the process holds
JOB_LIMITS = (
    *(("descriptors", resource.RLIMIT_NOFILE, number) for number in (12, 24, 48, 96)),
    *(("address space above the start, MB", resource.RLIMIT_AS, mb) for mb in (64, 256, 1024)),
    *(("data above the start, MB", resource.RLIMIT_DATA, mb) for mb in (64, 256, 1024)),
    *(("size of a file, kB", resource.RLIMIT_FSIZE, kb) for kb in (1, 64, 512)),
)
Refuse = Callable[[Path, random.Random], None]


def run(seed: int, cases: int | None, until: float) -> list[Row]:
    """Meet single writes with bad disks, and whole jobs with limits."""
    wanted = cases or CASES
    rows = [
        _writes("a limit on the size of a file", _small_files, seed, wanted, until),
        _writes("a folder that this user may not write to", _read_only, seed, wanted, until),
        _writes("a disk that takes 0.2 s to flush", _slow, seed, wanted, until),
    ]
    if _can_mount():
        rows.append(_writes("a full tmpfs", _full, seed, wanted, until))
    if wanted >= len(JOB_LIMITS):
        rows.append(_jobs(until))
    return rows


def _writes(tried: str, refuse: Refuse, seed: int, cases: int, until: float) -> Row:
    row = Row("what a disk refuses leaves the earlier file, and says so", tried)
    chosen = writes.subjects()
    with children.folder() as place:
        place.chmod(0o755)
        known = [writes.undisturbed(one, place / str(i)) for i, one in enumerate(chosen)]

        def one(number: int) -> Seen:
            which, here = number % len(chosen), place / f"case{number}"
            draws = draw(seed, f"disks/{tried}", number)
            here.mkdir()
            if refuse is _full:
                _mount(here, draws)
            try:
                shutil.copytree(place / str(which) / "start", here / "atlas")
                return _case(
                    chosen[which], here / "atlas", known[which], partial(refuse, here), draws
                )
            finally:
                if refuse is _full:
                    subprocess.run(["umount", str(here)], check=True)
                shutil.rmtree(here, ignore_errors=True)

        return children.spread(row, cases, one, until=until)


def _case(
    subject: Subject,
    here: Path,
    known: Known,
    refuse: Callable[[random.Random], None],
    draws: random.Random,
) -> Seen:
    seen, before = Seen(), here.parent.with_suffix(".first")

    def write(_: Ready) -> None:
        # another user may not read what Python imports at the first write
        subject.write(before, True, lambda: None)
        shutil.rmtree(before)
        subject.write(here, True, lambda: refuse(draws))

    ended = children.run(write)
    ended.judge(seen, f"{subject.name}: the write")

    def read(_: Ready) -> list[str | None]:
        return [subject.state(here), *writes.files_in(here)]

    after = children.run(read)
    after.judge(seen, f"{subject.name}: reading")
    if after.error and after.ours:
        seen.note("torn", f"{subject.name}: {after.error}")
    if after.answer:
        state, *files = after.answer
        wanted = known.states[0 if ended.error else 1]
        if state != wanted:
            seen.note("silent", f"{subject.name}: {ended.error or 'no error'}, but found {state}")
        left = [name for name in files if name.endswith(".tmp")]
        if left:
            seen.note("left", f"{subject.name}: {', '.join(left)}")
    return seen


def _small_files(_: Path, draws: random.Random) -> None:
    limit = int(10 ** draws.uniform(0, 5))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def _read_only(here: Path, _: random.Random) -> None:
    for path in (here, *here.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    if os.geteuid() == 0:
        os.setegid(NOBODY)
        os.seteuid(NOBODY)


def _slow(_: Path, __: random.Random) -> None:
    flush = os.fsync

    def fsync(descriptor: int) -> None:
        time.sleep(0.2)
        flush(descriptor)

    os.fsync = fsync  # type: ignore[assignment]


def _full(here: Path, draws: random.Random) -> None:
    """Fills the disk of the folder but for a few pages."""
    free = shutil.disk_usage(here).free - draws.randint(0, 4) * 4096
    (here / "filler").write_bytes(bytes(max(0, free)))


def _mount(here: Path, _: random.Random) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(here)], check=True)


def _can_mount() -> bool:
    with children.folder() as place:
        done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place)], capture_output=True)
        if done.returncode == 0:
            subprocess.run(["umount", str(place)], check=True)
    return done.returncode == 0


def _jobs(until: float) -> Row:
    """A whole job under each limit, and again without: the folder is as after one."""
    children.load()
    row = Row(
        "a job short of something fails with words; the next one is whole",
        "job atlas with few descriptors, little memory, small files",
    )
    with children.folder() as place:
        children.run(partial(jobs.execute, place / "whole"), limit=jobs.LIMIT).must()
        expected = jobs.files_of(place / "whole")

        def case(number: int) -> Seen:
            seen, here = Seen(), place / f"case{number}"
            shutil.copytree(place / "whole", here)
            limited = children.run(partial(_limited, here, number), limit=jobs.LIMIT)
            what, _, much = JOB_LIMITS[number]
            limited.judge(seen, f"{what} {much}")
            found = jobs.files_of(here)
            differ = sorted(name for name in expected if found.get(name) != expected[name])
            if differ:
                seen.note("torn", f"{what} {much}: {', '.join(differ)}")
            # unfinished work is kept for the next job, which must leave none
            more = sorted(
                name for name in found.keys() - expected.keys() if ".work" not in Path(name).parts
            )
            if more:
                seen.note("left", f"{what} {much}: {', '.join(more)}")
            again = children.run(partial(jobs.execute, here), limit=jobs.LIMIT)
            again.judge(seen, f"the job after {what} {much}")
            if jobs.files_of(here) != expected:
                seen.note("silent", f"{what} {much}: the next job makes other files")
            return seen

        return children.spread(row, len(JOB_LIMITS), case, until=until)


def _limited(here: Path, number: int, ready: Ready) -> bool:
    _, which, much = JOB_LIMITS[number]
    if which == resource.RLIMIT_NOFILE:
        limit = much
    elif which == resource.RLIMIT_FSIZE:
        limit = much * 1024
    else:
        pages = Path("/proc/self/statm").read_text().split()
        held = int(pages[0 if which == resource.RLIMIT_AS else 5]) * resource.getpagesize()
        limit = held + much * MB
    resource.setrlimit(which, (limit, limit))
    try:
        return jobs.execute(here, ready)
    except (MemoryError, OSError) as error:  # what Python itself says of such a limit
        raise AtlasError(f"{type(error).__name__}: {error}") from error
