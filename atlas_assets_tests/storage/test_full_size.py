"""Disk and memory at the size of the paper's model: 1,276 pairs × 8 layers × 2,048 neurons.

Times are measured by the benchmarks (docs/performance.md).
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.concepts import pair_name
from atlas_assets.stages.masks.masks import object_masks
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.activations import ActivationsFile
from atlas_assets.storage.masks import ObjectMasksFile
from atlas_assets_tests.storage.samples import equal, record_of

pytestmark = pytest.mark.slow

PAIRS, LAYERS, WIDTH = 1276, 8, 2048
DENSE = Setting(0.001, 0.2)
ACTIVATIONS, MASKS = ActivationsFile("pairs", "11A_object_prompts.parquet"), ObjectMasksFile()


@pytest.fixture(scope="module")
def activations() -> Activations:
    rng = np.random.default_rng(0)
    grid = (pair_name(f"Node{i:02}", f"builtin{j:02}") for i in range(43) for j in range(63))
    names = tuple(sorted(grid)[:PAIRS])
    shape = (PAIRS, LAYERS, WIDTH)
    counts = rng.binomial(50, rng.beta(0.3, 0.9, size=shape[1:]), size=shape).astype(np.int32)
    sums = (counts * rng.lognormal(-2, 1.5, size=shape)).astype(np.float32)
    return Activations(names, np.full(PAIRS, 50, np.int32), sums, counts)


def test_files_are_small(tmp_path: Path, activations: Activations) -> None:
    value, path = object_masks(activations, DENSE), tmp_path / "file.h5"
    MASKS.write(path, value, record_of(MASKS, value))
    assert path.stat().st_size <= 28_500_000  # of the release's files the smallest
    assert equal(MASKS.read(path)[0], value)
    ACTIVATIONS.write(path, activations, record_of(ACTIVATIONS, activations))
    arrays = activations.sums.nbytes + activations.counts.nbytes
    assert path.stat().st_size <= 1.05 * arrays


def peak() -> int:
    """Bytes of memory that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_reading_holds_little_more_than_the_arrays(
    tmp_path: Path, activations: Activations
) -> None:
    path = tmp_path / "activations.h5"
    ACTIVATIONS.write(path, activations, record_of(ACTIVATIONS, activations))
    script = (
        "from pathlib import Path; from atlas_assets_tests.storage import test_full_size as t;"
        f"before = t.peak(); value, _ = t.ACTIVATIONS.read(Path({str(path)!r}));"
        "print((t.peak() - before) / (value.sums.nbytes + value.counts.nbytes))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) <= 1.5
