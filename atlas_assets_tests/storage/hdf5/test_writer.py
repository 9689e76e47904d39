"""What is written is plain HDF5 as h5py reads it, and equal content gives equal bytes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np

from atlas_assets.storage.hdf5.reader import Hdf5Reader
from atlas_assets.storage.hdf5.writer import Hdf5Writer
from atlas_assets_tests.storage.hdf5.vectors import image, values


def test_bytes_do_not_depend_on_what_the_process_wrote_before() -> None:
    """The skeleton of a file is kept for the next; a fresh process has none."""
    image(values("?", seed=1))
    script = (
        "import hashlib; from atlas_assets_tests.storage.hdf5 import vectors as t;"
        "print(hashlib.sha256(t.image(t.values('?', seed=2))).hexdigest())"
    )
    fresh = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert hashlib.sha256(image(values("?", seed=2))).hexdigest() == fresh.stdout.strip()


def test_vectors_do_not_depend_on_memory_layout() -> None:
    values = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    images = []
    for layout in (values, np.asfortranarray(values), values.astype(">i4")):
        writer = Hdf5Writer()
        writer.vectors("g", ["a", "b"], layout)
        images.append(writer.finish())
        with Hdf5Reader(images[-1]) as reader:
            assert np.array_equal(reader.vectors("g", np.int32)[1], values)
    assert images[0] == images[1] == images[2]
