"""Disks that refuse: what the tests of bad disks and killed writers run under."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from atlas_assets_tests.forkserver import PROCESSES

NOBODY = 65534
Step = Callable[..., Any]


@contextlib.contextmanager
def largest_file(n_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond ``n_bytes`` (as under a quota)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """This process may read ``folder`` and not write to it, root included."""
    with refused(folder, 0o555):
        yield


@contextlib.contextmanager
def refused(folder: Path, mode: int) -> Iterator[None]:
    """This process may do with ``folder`` what ``mode`` lets others do, root included."""
    folder.chmod(mode)
    group, user = os.getegid(), os.geteuid()
    if user == 0:
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(user)
            os.setegid(group)
        folder.chmod(0o755)


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that every user may reach (pytest's are the owner's alone)."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def tiny_disk(folder: Path, n_bytes: int) -> Iterator[Path]:
    """A tmpfs of ``n_bytes`` at ``folder``; skips where mounting is not allowed."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs; run the tests as root outside a sandbox")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def killed_at_every_step(
    before: Step, write: Step, after: Step, folder: Path, *words: str
) -> list[Any]:
    """Runs ``write`` again and again, killed (SIGKILL) at its first, second, … touch of the disk.

    Args:
        before: brings the folder into its first state.
        write: to be killed; every file operation below ``folder`` is a step.
        after: gives the state that is found after the kill (JSON).
        folder: what the three functions are given, and then the words.

    Returns:
        The state after a kill at each step, and last after an undisturbed run.
    """
    answer = folder.with_suffix(".states")
    steps = [partial(step, folder, *words) for step in (before, write, after)]
    process = PROCESSES.Process(target=_write_states, args=(answer, folder, *steps))
    process.start()
    process.join(60)
    assert process.exitcode == 0, "the errors of its children are printed"
    states: list[Any] = json.loads(answer.read_text())
    assert len(states) > 3, "the writer was not killed at any step"
    return states


def _write_states(answer: Path, folder: Path, *steps: Step) -> None:
    answer.write_text(json.dumps(list(_states(folder, *steps))))


def _states(folder: Path, before: Step, write: Step, after: Step) -> Iterator[Any]:
    start, answer = folder.with_suffix(".start"), folder.with_suffix(".json")
    folder.mkdir()
    _in_child(before)
    folder.rename(start)
    for step in itertools.count(1):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(start, folder)
        killed = _in_child(write, _killer(folder, step))
        _in_child(lambda: answer.write_text(json.dumps(after())))
        yield json.loads(answer.read_text())
        if not killed:
            return


def _in_child(function: Step, hook: Callable[[str, Any], None] | None = None) -> bool:
    """Whether a child of this process, which has no threads, was killed at the function."""
    child = os.fork()
    if child == 0:
        try:
            if hook:
                sys.addaudithook(hook)
            function()
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
        sys.exit("a child failed")
    return os.WIFSIGNALED(status)


def _killer(folder: Path, step: int) -> Callable[[str, Any], None]:
    steps = itertools.count(1)

    def kill(event: str, args: Any) -> None:
        touched = event.split(".")[0] in ("open", "os") and str(folder) in str(args[:2])
        if touched and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return kill
