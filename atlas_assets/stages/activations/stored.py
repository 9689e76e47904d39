"""Activations of so many units that they stay where they are, and come in blocks of units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atlas_assets.errors import within
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
        """Return the activations in memory, whatever they take of it."""
        return self._of(slice(0, len(self.names)))

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


def are_large(activations: AnyActivations) -> bool:
    """Whether activations are kept in blocks: a rule of prompts, units, layers and width alone."""
    prompts = int(activations.n_prompts.sum(dtype=np.int64))
    most = max(prompts, _WRITTEN * len(activations.names))
    return _READOUT * most * activations.n_layers * activations.width > LARGE
