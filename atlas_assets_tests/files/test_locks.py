"""Changes by one thread or process at a time (of processes: `atlas.test_versions`)."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from upath import UPath

from atlas_assets.errors import ArtifactWriteError
from atlas_assets.files.locks import exclusive


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_who_comes_second_sees_what_the_first_has_written(tmp_path: Path, scheme: str) -> None:
    path = UPath(f"{scheme}://{tmp_path}/folder/count")

    def add(_: int) -> None:
        with exclusive(path, what="the count"):
            count = int(path.read_text()) if path.exists() else 0
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(count + 1))

    # what is not on this machine's disk is not locked
    with ThreadPoolExecutor(8 if scheme == "file" else 1) as threads:
        list(threads.map(add, range(50)))
    assert path.read_text() == "50"


def test_a_lock_that_cannot_be_had_says_why(tmp_path: Path) -> None:
    (tmp_path / ".pin.lock").mkdir()
    with (
        pytest.raises(ArtifactWriteError, match="left as it was") as error,
        exclusive(tmp_path / "pin", what="the pin"),
    ):
        pass
    assert error.value.where == str(tmp_path / ".pin.lock")
    assert error.value.found == "Is a directory"


def test_a_forked_child_does_not_keep_the_lock_of_a_parent_that_was_killed(tmp_path: Path) -> None:
    told = tmp_path / "child"
    holder = os.fork()
    if holder == 0:
        with exclusive(tmp_path / "pin", what="the pin"):
            child = os.fork()
            if child:
                (tmp_path / "pid").write_text(str(child))
                (tmp_path / "pid").rename(told)
            while True:
                signal.pause()
    while not told.exists():
        time.sleep(0.01)
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    try:
        started = time.monotonic()
        with exclusive(tmp_path / "pin", what="the pin"):
            assert time.monotonic() - started < 30  # it is refused after a minute
    finally:
        os.kill(int(told.read_text()), signal.SIGKILL)
