"""Values of many units that need not be in memory: they are looked at some units at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

#: bytes of values that are in memory at a time
BLOCK_BYTES = 1 << 26


class Rows(Protocol):
    """Values ``[units, layers, width]`` that give an array for a slice of units, as arrays do."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of units, layers and values of each."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""

    def __getitem__(self, units: slice, /) -> npt.NDArray[Any]:
        """Return the values of some consecutive units."""


def slices_of(rows: Rows) -> Iterator[slice]:
    """Cut all units into consecutive slices of `BLOCK_BYTES`, or of one unit where that is more."""
    unit = math.prod(rows.shape[1:]) * rows.dtype.itemsize
    step = max(1, BLOCK_BYTES // max(1, unit))
    for start in range(0, rows.shape[0], step):
        yield slice(start, min(start + step, rows.shape[0]))
