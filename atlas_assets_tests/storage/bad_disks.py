"""Disks that refuse: what the tests of bad disks and killed writers run under."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65534


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
    folder.chmod(0o555)
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


def killed_at_every_step(before: str, write: str, after: str, folder: Path) -> list[object]:
    """Runs ``write`` again and again, killed (SIGKILL) at its first, second, … touch of the disk.

    Args:
        before: Python that puts the folder into its first state.
        write: Python to be killed; every file operation below ``folder`` is a step.
        after: Python expression, the state that is found after the kill (JSON).
        folder: bound to ``folder`` in all three.

    Returns:
        The state after a kill at each step, and last after an undisturbed run.
    """
    script = f"""
        import json, os, shutil, signal, sys
        from pathlib import Path
        import atlas_assets_tests.storage.test_store_on_bad_disks  # once, not in every child
        folder = Path({str(folder)!r})
        answer = Path({str(folder)!r} + ".json")

        def before():
            {textwrap.indent(before, " " * 12).strip()}

        def write():
            {textwrap.indent(write, " " * 12).strip()}

        def after():
            answer.write_text(json.dumps({after}))

        def in_child(function, *, die_at=0):
            # the parent stays free of threads, which would not survive the fork
            child = os.fork()
            if child == 0:
                try:
                    if die_at:
                        sys.addaudithook(Killer(die_at))
                    function()
                    os._exit(0)
                except BaseException:
                    sys.excepthook(*sys.exc_info())
                    os._exit(1)
            _, status = os.waitpid(child, 0)
            if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
                sys.exit("a child failed")
            return os.WIFSIGNALED(status)

        class Killer:
            def __init__(self, step):
                self.left = step
            def __call__(self, event, args):
                if event.split(".")[0] in ("open", "os") and str(folder) in str(args[:2]):
                    self.left -= 1
                    if self.left == 0:
                        os.kill(os.getpid(), signal.SIGKILL)

        start = Path({str(folder)!r} + ".start")
        folder.mkdir()
        in_child(before)
        folder.rename(start)
        states, killed, step = [], True, 0
        while killed:
            step += 1
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(start, folder)
            killed = in_child(write, die_at=step)
            in_child(after)
            states.append(json.loads(answer.read_text()))
        json.dump(states, sys.stdout)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    states = json.loads(done.stdout)
    assert len(states) > 3, "the writer was not killed at any step"
    return list(states)
