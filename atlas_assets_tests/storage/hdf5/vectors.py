"""Vectors to write, and the bytes of a file that holds them."""

from __future__ import annotations

import numpy as np

from atlas_assets.storage.hdf5.writer import Hdf5Writer

NAMES = tuple(f"u{i:03}" for i in range(40))


def values(dtype: str, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 3, size=(len(NAMES), 3, 100)) * rng.random() * 50).astype(dtype)


def image(found: np.ndarray) -> bytes:
    writer = Hdf5Writer()
    writer.vectors("g", NAMES, found)
    return writer.finish()
