"""A write happens completely or not at all, whatever the disk does."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from upath import UPath

from atlas_assets.errors import ArtifactWriteError
from atlas_assets.files import atomic, scratch
from atlas_assets_tests.storage.bad_disks import (
    killed_at_every_step,
    largest_file,
    open_folder,
    read_only,
    tiny_disk,
)
from atlas_assets_tests.storage.defects import refusing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize("data", [b"", b"content", memoryview(b"content")])
def test_bytes_arrive_and_nothing_else_is_left(
    tmp_path: Path, data: bytes | memoryview, remote: bool
) -> None:
    path = (UPath(f"memory://{tmp_path.name}") if remote else tmp_path) / "new" / "file"
    for content in (b"before", data):
        atomic.write_bytes(path, content, what="masks")
        assert path.read_bytes() == bytes(content)
    assert [other.name for other in path.parent.iterdir()] == ["file"]


def test_what_is_not_in_memory_takes_its_place_once_it_has_arrived(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    for content in (b"before", b"after"):

        def written(temporary: Path, content: bytes = content) -> None:
            temporary.write_bytes(content)
            assert not path.exists() or path.read_bytes() == b"before"

        atomic.write_large(path, written, lambda _: True, what="masks")
        assert path.read_bytes() == content
    with refusing(ArtifactWriteError, "cannot write masks", path, "not the bytes written"):
        atomic.write_large(path, zero, lambda _: False, what="masks")
    assert path.read_bytes() == b"after"
    assert names(path.parent) == ["file"]


def test_the_umask_decides_who_may_read(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic.write_bytes(tmp_path / "file", b"", what="masks")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@contextmanager
def left_as_it_was(folder: Path) -> Iterator[Path]:
    """A file that a failing write must leave as it was, and with no temporary one beside it."""
    path = folder / "file"
    atomic.write_bytes(path, b"before", what="masks")
    yield path
    assert path.read_bytes() == b"before"
    assert names(folder) == ["file"]


def test_a_full_disk_leaves_the_earlier_file_and_no_temporary_one(tmp_path: Path) -> None:
    with left_as_it_was(tmp_path) as path:
        said = ("cannot write object_masks", path, "100,000 bytes", "bytes are free")
        with largest_file(10_000), refusing(ArtifactWriteError, *said):
            atomic.write_bytes(path, b"x" * 100_000, what="object_masks")


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_folder_is_replaced_as_a_whole_or_not(tmp_path: Path, interrupted: bool) -> None:
    folder = tmp_path / "folder"

    def files(*, until: int) -> Iterator[tuple[str, bytes]]:
        yield "new/a", b"a"
        if interrupted and until:
            raise KeyboardInterrupt
        yield "b", bytes(until)

    sizes = atomic.write_folder(folder, [("old/a", b"")], what="an export")
    assert sizes == {folder / "old" / "a": 0}
    refused = KeyboardInterrupt if interrupted else ArtifactWriteError
    with largest_file(10_000), pytest.raises(refused):
        atomic.write_folder(folder, files(until=20_000), what="an export")
    assert names(folder) == ["old"]
    atomic.write_folder(folder, files(until=0), what="an export")
    assert (names(folder), names(tmp_path)) == (["b", "new"], ["folder"])


_KILLED_BETWEEN_THE_RENAMES = """
import os, sys
from pathlib import Path
from atlas_assets.files import atomic

renamed = Path.replace
Path.replace = lambda path, to: os._exit(9) if path.name == "made" else renamed(path, to)
atomic.write_folder(Path(sys.argv[1]), [("b", b"")], what="an export")
"""


def test_a_folder_that_a_killed_writer_moved_aside_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "[1]"
    atomic.write_folder(folder, [("a", b"")], what="an export")
    for settle in (
        lambda: atomic.settle_folder(folder),
        lambda: atomic.write_folder(folder, [("a", b"")], what="an export"),
    ):
        command = [sys.executable, "-c", _KILLED_BETWEEN_THE_RENAMES, str(folder)]
        assert subprocess.run(command, check=False).returncode == 9
        assert len(names(tmp_path)) == 1
        assert not folder.exists()
        settle()
        assert (names(tmp_path), names(folder)) == (["[1]"], ["a"])


def test_a_tiny_disk_leaves_the_earlier_file_and_no_temporary_one(tmp_path: Path) -> None:
    with (
        tiny_disk(tmp_path / "disk", 64 * 1024) as disk,
        left_as_it_was(disk) as path,
        pytest.raises(ArtifactWriteError, match="No space left on device"),
    ):
        atomic.write_bytes(path, b"x" * 200_000, what="masks")


def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    with open_folder() as folder, left_as_it_was(folder) as path:
        said = ("Permission denied", path, "ATLAS_DATA_DIR")
        with read_only(folder), refusing(ArtifactWriteError, *said):
            atomic.write_bytes(path, b"after", what="masks")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(ArtifactWriteError, match=r"file/below"):
        atomic.write_bytes(tmp_path / "file" / "below", b"", what="masks")


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def test_bytes_that_do_not_read_back_are_not_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with left_as_it_was(tmp_path) as path:
        # a disk that takes every byte and gives back zeros
        monkeypatch.setattr(os, "fsync", lambda _: zero(next(tmp_path.glob(".file.*.tmp"))))
        with pytest.raises(ArtifactWriteError, match="not the bytes written"):
            atomic.write_bytes(path, b"after", what="masks")


def test_an_interrupt_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic.write_bytes(tmp_path / "file", b"x", what="masks")
    assert names(tmp_path) == []


def test_what_a_killed_writer_left_goes_with_a_later_write(tmp_path: Path) -> None:
    left, alive = tmp_path / ".file.1.tmp", tmp_path / ".file.2.tmp"
    left.write_bytes(b"half")
    with alive.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        atomic.write_bytes(tmp_path / "file", b"whole", what="masks")
        assert names(tmp_path) == [".file.2.tmp", "file"]


def put_before(folder: Path) -> None:
    atomic.write_bytes(folder / "file", b"before", what="masks")


def put_after(folder: Path) -> None:
    atomic.write_bytes(folder / "file", b"after", what="masks")


def text(folder: Path) -> str:
    return (folder / "file").read_text()


def test_a_killed_writer_leaves_the_earlier_file_or_the_new_one(tmp_path: Path) -> None:
    states = killed_at_every_step(put_before, put_after, text, tmp_path / "disk")
    assert states == sorted(states, reverse=True)  # before …, then after for good
    assert set(states) == {"before", "after"}


def killed_in_a_temporary_folder(step: int) -> int:
    """Exit status of a process that is killed at a step of making, filling, removing a folder."""
    if (child := os.fork()) == 0:
        taken = 0

        def count(event: str, _: object) -> None:
            nonlocal taken
            if event in ("open", "os.mkdir", "os.remove", "os.rmdir", "fcntl.flock"):
                taken += 1
                if taken == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        with atomic.temporary_folder("atlas-x-") as folder:
            (folder / "below").mkdir()
            (folder / "below" / "copy").touch()
            (folder / "copy").touch()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_temporary_folders_of_killed_processes_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for step in range(1, 100):
        ended = killed_in_a_temporary_folder(step)
        with (
            atomic.temporary_folder("atlas-x-") as first,
            atomic.temporary_folder("atlas-x-") as second,
        ):
            assert names(tmp_path) == sorted((first.name, second.name)), step
        assert names(tmp_path) == []
        if ended != -signal.SIGKILL:
            break
    assert ended == 0 and step > 8


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_nothing_else_is_taken_for_a_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    places = ("atlas-x-odd/.alive", "work/.held", f".a.csv.{'0' * 32}.tmp")
    marks, elsewhere = [tmp_path / place for place in places], tmp_path / "elsewhere"
    elsewhere.touch()
    make = {"pipe": os.mkfifo, "folder": os.mkdir, "link": partial(os.symlink, elsewhere)}[kind]
    for mark in marks:
        mark.parent.mkdir(exist_ok=True)
        make(mark)
    with atomic.temporary_folder("atlas-x-"):
        pass
    with pytest.raises(OSError):
        scratch.remove_unless_held(tmp_path / "work")
    atomic.write_bytes(tmp_path / "a.csv", b"after", what="summary")
    assert (tmp_path / "a.csv").read_bytes() == b"after"
    assert elsewhere.exists() and all(os.path.lexists(mark) for mark in marks)
