"""Files that are replaced, or held open by another process, while they are read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import pytest

from atlas_assets.errors import BusyArtifactError, ForeignArtifactError
from atlas_assets.storage.masks import ObjectMasksFile
from atlas_assets_tests.storage.defects import with_masks
from atlas_assets_tests.storage.release_files import write_object_masks
from atlas_assets_tests.storage.samples import SWEEP, cells, equal, objects, sample, store_at

MASKS = ObjectMasksFile()
#: holds a file open until its input ends
HOLDER = """
import h5py, sys
with h5py.File(sys.argv[1], sys.argv[2], libver=sys.argv[3]) as file:
    if sys.argv[2] != "r":
        file["metadata"].attrs["n_layers"] = 10**6
        file.flush()
    print("open", flush=True)
    sys.stdin.read()
"""
KEYS = ("object_masks", "object_prompts", "summary", "figure_sweep", "atlas_report")
#: writes two contents of every artifact, one after the other, until it is ended
WRITER = """
import sys
from pathlib import Path
from atlas_assets_tests.storage import samples
store = samples.store_at(Path(sys.argv[1]))
cells = [(key, samples.cells(key)[0]) for key in sys.argv[2:]]
first = [samples.sample(*cell) for cell in cells]
masks = samples.object_masks(samples.activations(seed=5), cells[0][1])
second = [masks, first[1].head(1), first[2].head(1), samples.drawing("black"), 2 * first[4]]
while True:
    for values in (first, second):
        for (key, setting), value in zip(cells, values):
            store.write(key, value, setting, inputs={})
    print("written", flush=True)
"""


@contextmanager
def running(program: str, *arguments: object, **environment: str) -> Iterator[None]:
    """A process that has begun, and ends with the block."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env={**os.environ, **environment}, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("locking", ["TRUE", "FALSE", "BEST_EFFORT"])
def test_a_file_that_another_process_reads_is_read(tmp_path: Path, locking: str) -> None:
    path = with_masks(tmp_path / "file.h5")
    with running(HOLDER, path, "r", "earliest", HDF5_USE_FILE_LOCKING=locking):
        assert equal(MASKS.read(path)[0], objects())


@pytest.mark.parametrize("locking", [None, True, False, "best-effort"])
@pytest.mark.parametrize("mode", ["r", "r+", "a"])
def test_a_file_that_this_process_has_open_is_read(
    tmp_path: Path, mode: str, locking: object
) -> None:
    path = with_masks(tmp_path / "file.h5")
    with h5py.File(path, mode, locking=locking):
        assert equal(MASKS.read(path)[0], objects())


@pytest.mark.parametrize("mode", ["r+", "a"])
def test_a_file_that_is_written_to_is_busy_until_its_writer_ends(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "file.h5"
    write_object_masks(path, objects())
    with running(HOLDER, path, mode, "earliest"), pytest.raises(BusyArtifactError) as caught:
        MASKS.read(path)
    assert "close it" in str(caught.value.remedy)
    with pytest.raises(ForeignArtifactError):
        MASKS.read(path)


def test_a_file_of_another_program_is_not_replaced_while_it_writes(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    path = Path(store.path("object_masks", SWEEP[0]).path)
    with h5py.File(path, "w", libver="latest") as file:
        file.create_group("metadata")
    with (
        running(HOLDER, path, "r+", "latest", HDF5_USE_FILE_LOCKING="FALSE"),
        pytest.raises(BusyArtifactError),
    ):
        store.write("object_masks", sample("object_masks", SWEEP[0]), SWEEP[0])


def test_readers_during_rewrites_find_one_state_or_the_other(tmp_path: Path) -> None:
    store, reads = store_at(tmp_path), 0
    with running(WRITER, tmp_path, *KEYS):
        end = time.monotonic() + 2
        while time.monotonic() < end:
            for key in KEYS:
                setting = cells(key)[0]
                store.read(key, setting)
                store.provenance(key, setting)
                reads += 1
    assert reads >= len(KEYS)
