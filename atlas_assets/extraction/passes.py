"""A pass over prompts: its task and its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from atlas_assets.extraction.engine import THREADS, Engine
from atlas_assets.extraction.prompts import UnitPrompts
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.extraction.spots import Spots
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.progress import Track
from atlas_assets.stages.blocks import Rows

Doubles = npt.NDArray[np.float64]
Readout = Literal["last_token", "published"]


@dataclass(frozen=True, eq=False)
class UnitSums:
    """The result of a pass: readouts added up per unit, and the losses of the prompts.

    Attributes:
        sums: float32 ``[units, layers, width]``; of a large atlas, on disk.
        counts: int32 ``[units, layers, width]``, likewise.
        losses: float64 ``[distinct prompts]`` in nats per token; empty where none were asked for.
        remark: why the prompts did not run on their prefix tree, where a tree was asked for.
        at_spots: the same sums, and int32 counts ``[levels, units, layers, width]``, of each of
            the pass's `Spots`.
    """

    sums: Rows
    counts: Rows
    losses: Doubles
    remark: str = ""
    at_spots: tuple[tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]], ...] = ()


@dataclass(frozen=True)
class Pass:
    """The task of a pass: which prompts are run, and what is read of them.

    Attributes:
        model: the network, its MLP modules and its tokenizer.
        prompts: the units and their prompts.
        readout: the position that is read.
        scored: whether losses are computed too.
        budget: most tokens of a batch, padding included, or most nodes of a chunk of the tree.
        shards: where finished work is kept; see `store`.
        track: is told of each prompt that has been run.
        spots: what else is read of these prompts.
        tree: whether the prompts may run on their prefix tree.
        engine: where they are run, which changes no number.
    """

    model: LoadedModel
    prompts: UnitPrompts
    readout: Readout
    scored: bool
    budget: int
    shards: ShardStore
    track: Track
    spots: tuple[Spots, ...] = ()
    tree: bool = False
    engine: Engine = THREADS

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of the sums: units, layers, width."""
        return len(self.prompts.names), self.model.n_layers, self.model.width

    @property
    def n_losses(self) -> int:
        """The number of losses: one of each distinct prompt, or 0 where none are asked for."""
        return len(self.prompts.distinct) if self.scored else 0

    def store(self, *plan: str) -> ShardStore:
        """Return a store for this pass alone: its fingerprint covers whatever changes the result.

        Args:
            plan: how the work is cut into shards.
        """
        model = self.model
        return self.shards.narrowed(
            "extract and score" if self.scored else "extract",
            self.readout,
            *plan,
            f"{model.dtype} on {model.device.type}, torch {torch.__version__}",
            model.kernels,
            self.prompts.digest(),
            *(spots.digest() for spots in self.spots),
        )
