"""Activations of so many units that they stay where they are, and come in blocks of units."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from atlas_assets.errors import ArtifactError, within
from atlas_assets.stages.activations.activations import (
    Activations,
    payload_digest,
    require_shapes,
)
from atlas_assets.stages.blocks import Rows, slices_of

#: bytes of readouts beyond which activations and masks are kept and computed in blocks
LARGE = 20e9
#: float32 readouts take these bytes a value; sums and counts in the published layout take six
#: times as many while they are written (the arrays, and twice the file)
_READOUT, _WRITTEN = 4, 6
#: bytes of a sum and a count in memory
_IN_MEMORY = 8


@dataclass(frozen=True, eq=False)
class _Picked:
    """Some units of values that are not in memory, by number."""

    rows: Rows
    units: npt.NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.units), *self.rows.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.rows.dtype

    def __getitem__(self, units: slice, /) -> npt.NDArray[Any]:
        chosen = self.units[units]
        values = np.empty((len(chosen), *self.shape[1:]), self.dtype)
        start = 0
        for run in np.split(chosen, np.flatnonzero(np.diff(chosen) != 1) + 1):
            if len(run):
                values[start : start + len(run)] = self.rows[int(run[0]) : int(run[-1]) + 1]
            start += len(run)
        return values


@dataclass(frozen=True, eq=False)
class StoredActivations:
    """The sums and counts of units, as `Activations` has them, that are not in memory.

    Attributes:
        names: The unit names, sorted, each once.
        n_prompts: int32 ``[units]``, prompts per unit, ≥ 1.
        sums: float32 ``[units, layers, width]``.
        counts: int32 ``[units, layers, width]``.
        remark: As in `Activations`.
        where: The file that they are in, for errors.

    Raises:
        ArtifactError: Names, a shape or a dtype are not as above. What a value breaks is found when
            it is looked at.
    """

    names: tuple[str, ...]
    n_prompts: npt.NDArray[np.int32]
    sums: Rows
    counts: Rows
    remark: str = ""
    where: str = ""

    def __post_init__(self) -> None:
        require_shapes(self.names, self.n_prompts, self.sums, self.counts)

    @property
    def n_layers(self) -> int:
        """The number of layers."""
        return int(self.sums.shape[1])

    @property
    def width(self) -> int:
        """The number of neurons per layer (the model's d_model)."""
        return int(self.sums.shape[2])

    def blocks(self) -> Iterator[Activations]:
        """Give the activations of all units, in order, some units at a time."""
        return map(self._of, slices_of(self.sums))

    def whole(self) -> Activations:
        """Return the activations in memory.

        Raises:
            ArtifactError: the machine has not that much memory free.
        """
        needed, free = _IN_MEMORY * math.prod(self.sums.shape), _free_memory()
        if free is not None and free < needed:
            raise ArtifactError(
                "the activations do not fit into memory",
                where=f"{len(self.names):,} units × {self.n_layers} layers × {self.width:,}",
                expected=f"{needed / 1e9:,.1f} GB of memory",
                found=f"{free / 1e9:,.1f} GB free",
                remedy="read masks instead (load_pair_masks with a layer), or use a machine with "
                "more memory",
            )
        return self._of(slice(0, len(self.names)))

    def select(self, names: tuple[str, ...]) -> AnyActivations:
        """Return the activations of some of the units, whose names are sorted, each once.

        They are in memory where so few are left that they are not large.
        """
        place = {name: index for index, name in enumerate(self.names)}
        where = np.asarray([place[name] for name in names], dtype=np.int64)
        sums, counts = _Picked(self.sums, where), _Picked(self.counts, where)
        found = StoredActivations(names, self.n_prompts[where], sums, counts, self.remark)
        return found if are_large(found) else found.whole()

    def digest(self) -> str:
        """Return the digest that `Activations` of the same content has."""
        return payload_digest(
            self.names, {"n_prompts": self.n_prompts, "sums": self.sums, "counts": self.counts}
        )

    def _of(self, units: slice) -> Activations:
        arrays = (self.n_prompts[units], self.sums[units], self.counts[units])
        with within(self.where):
            return Activations(self.names[units], *arrays, self.remark)


AnyActivations = Activations | StoredActivations


def _free_memory() -> int | None:
    """Bytes that programs can still take on this machine; None where it does not say."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:  # not on macOS or Windows
        return None
    return None if found is None else int(found[1]) << 10


def are_large(activations: AnyActivations) -> bool:
    """Whether activations are kept in blocks: a rule of prompts, units, layers and width alone."""
    prompts = int(activations.n_prompts.sum(dtype=np.int64))
    return is_large(prompts, len(activations.names), activations.n_layers, activations.width)


def is_large(prompts: int, units: int, n_layers: int, width: int) -> bool:
    """Whether units with so many prompts in all are kept in blocks; see `are_large`."""
    return _READOUT * max(prompts, _WRITTEN * units) * n_layers * width > LARGE


def activations_of(
    names: tuple[str, ...],
    n_prompts: npt.NDArray[np.int32],
    sums: Rows,
    counts: Rows,
    remark: str,
) -> AnyActivations:
    """Return activations that are in memory where their arrays are."""
    if isinstance(sums, np.ndarray) and isinstance(counts, np.ndarray):
        return Activations(names, n_prompts, sums, counts, remark)
    return StoredActivations(names, n_prompts, sums, counts, remark)
