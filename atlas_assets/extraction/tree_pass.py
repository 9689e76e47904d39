"""One pass over the prefix tree of all prompts: readouts and losses, resumable.

The tree is cut into chunks and these into legs, in a fixed order. After a leg the sums so far are
written down now and then, so that a run that was killed goes on from there; since the sums always
grow in the same order, when they were written does not show in the result.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast

import numpy as np
import torch
from scipy.sparse import coo_array, csc_array

from atlas_assets.errors import ModelError, expect
from atlas_assets.extraction.losses import require_finite_losses, tree_mean_losses
from atlas_assets.extraction.prefix_tree import PrefixTree, TreeChunk
from atlas_assets.extraction.prompts import IntArray, UnitPrompts
from atlas_assets.extraction.reduction import Reduction, UnitSums
from atlas_assets.extraction.shards import Arrays, ShardStore
from atlas_assets.extraction.tree_network import ChunkReadings, TreeNetwork
from atlas_assets.extraction.workers import in_order
from atlas_assets.models.circuitgpt import CircuitGPTForCausalLM
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.progress import Track

#: how a network gets its prompts: as chunks of their prefix tree, or in padded batches
NetworkPath = Literal["tree", "plain"]
#: a chunk's first sequence and the one behind its last
Cut = tuple[int, int]
#: raise it when the plan or the arithmetic changes
PLAN_VERSION = 1
#: chunks in a leg: what a kill may cost beyond the time since the last note
CHUNKS_PER_LEG = 16
#: seconds after which the sums are written down at the end of a leg
NOTE_SECONDS = 30.0

_log = logging.getLogger(__name__)


def runs_on_tree(model: LoadedModel, path: NetworkPath | None) -> bool:
    """Tell whether prompts run on the tree: if asked to, else where the network can.

    Args:
        model: any causal LM; a circuitgpt can run on a tree.
        path: what is asked for; None leaves it to the model.

    Raises:
        ModelError: the tree is asked for and the model is no circuitgpt.
    """
    able = isinstance(model.network, CircuitGPTForCausalLM)
    expect(
        able or path != "tree",
        ModelError,
        "the model cannot run on a tree of prefixes",
        where=type(model.network).__name__,
        expected="a circuitgpt",
        found="another network",
        remedy="choose the plain path",
    )
    return able if path is None else path == "tree"


def plan_parts(model: LoadedModel, limit: int) -> tuple[str, ...]:
    """Return what a stored state depends on, beside the prompts."""
    return (
        f"tree plan {PLAN_VERSION}, {limit} nodes, {CHUNKS_PER_LEG} chunks",
        f"{model.dtype} on {model.device.type}, torch {torch.__version__}",
        model.kernels,
    )


@dataclass(frozen=True)
class TreePass:
    """A pass over the distinct prompts of some units.

    Attributes:
        model: a circuitgpt.
        prompts: the units and their prompts.
        scored: also compute losses.
        limit: most nodes of a chunk.
        store: where the state is kept; its fingerprint covers everything that changes it.
        track: is told of prompts as they are run.
        holder: unit and prompt of a row of the table, for messages; None: as ``prompts`` say.
    """

    model: LoadedModel
    prompts: UnitPrompts
    scored: bool
    limit: int
    store: ShardStore
    track: Track
    holder: Callable[[int], tuple[str, int]] | None = None

    def run(self) -> UnitSums:
        """Return sums and counts of all units and, if wanted, losses by distinct prompt.

        Raises:
            ModelError: a readout or a loss is not finite.
            ArtifactWriteError: the state cannot be written.
        """
        rows = self.prompts.distinct
        tree, places = PrefixTree.of(self.prompts.table, rows)
        sequence_of_row = coo_array(
            (np.ones(len(rows)), (np.arange(len(rows)), places)), shape=(len(rows), len(tree))
        )
        walk = _Walk(self, tree, csc_array(self.prompts.multiplicity @ sequence_of_row))
        cuts = tree.cuts(self.limit)
        legs = [cuts[at : at + CHUNKS_PER_LEG] for at in range(0, len(cuts), CHUNKS_PER_LEG)]
        done = walk.resume(len(legs))
        self.track.skip(legs[done][0][0] if done < len(legs) else len(tree))
        walk.go(legs, done)
        return walk.finish(places)


class _Walk:
    """A `TreePass` under way: its sums so far and the network that adds to them."""

    def __init__(self, task: TreePass, tree: PrefixTree, weights: csc_array) -> None:
        self._task = task
        self._tree = tree
        self._weights = weights
        self._network = TreeNetwork(cast(CircuitGPTForCausalLM, task.model.network))
        self._reduction = Reduction(task.model, len(task.prompts.names), len(tree))
        self._losses = np.zeros(len(tree) if task.scored else 0)

    def resume(self, legs: int) -> int:
        """Go on from a stored state and return how many of the ``legs`` it has done."""
        arrays = self._task.store.get("state")
        if arrays is None:
            return 0
        state = self._reduction.state()
        expected = {
            "legs": ((1,), np.dtype(np.int64)),
            "losses": (self._losses.shape, np.dtype(np.float64)),
            **{name: (state[name].shape, state[name].dtype) for name in state},
        }
        found = {name: (array.shape, array.dtype) for name, array in arrays.items()}
        if found != expected or not 0 < int(arrays["legs"][0]) <= legs:
            _log.warning("the stored sums are not of this plan and will be computed again")
            return 0
        self._reduction.resume(arrays["sums"].astype(np.float64), arrays["counts"].astype(np.int32))
        self._losses[:] = arrays["losses"]
        return int(arrays["legs"][0])

    def note(self, legs: int) -> None:
        """Store the state after so many legs."""
        if self._task.store.folder is None:
            return
        arrays: Arrays = {**self._reduction.state(), "legs": np.asarray([legs])}
        self._task.store.put("state", {**arrays, "losses": self._losses})

    def go(self, legs: list[list[Cut]], done: int) -> None:
        """Run the legs behind the first ``done``; one begins before the one ahead is added up."""
        waiting: list[tuple[TreeChunk, torch.Tensor]] = []
        number_of_end = {leg[-1]: number for number, leg in enumerate(legs, start=1)}
        noted = time.monotonic()

        def run(cut: Cut) -> tuple[TreeChunk, ChunkReadings]:
            chunk = self._tree.chunk(*cut)
            return chunk, self._network.run(chunk, losses=self._task.scored)

        def take(cut: Cut, result: tuple[TreeChunk, ChunkReadings]) -> None:
            nonlocal noted
            chunk, readings = result
            self._add(cut, chunk, readings.readouts)
            if readings.losses is not None:
                waiting.append((chunk, readings.losses))
            number = number_of_end.get(cut)
            if number is None:
                return
            self._end_leg(waiting)
            waiting.clear()
            if number == len(legs) or time.monotonic() - noted > NOTE_SECONDS:
                self.note(number)
                noted = time.monotonic()

        cuts = itertools.chain.from_iterable(legs[done:])
        in_order(cuts, run, take, device=self._task.model.device)

    def _add(self, cut: Cut, chunk: TreeChunk, readouts: torch.Tensor) -> None:
        columns = self._weights[:, slice(*cut)]
        units = np.unique(columns.indices).astype(np.int64)
        self._reduction.add(readouts, columns[units].toarray(), units, chunk.sequences)
        self._task.track.advance(len(chunk.sequences))

    def _end_leg(self, waiting: list[tuple[TreeChunk, torch.Tensor]]) -> None:
        """Wait for the device, and see that what the leg gave is sound.

        Raises:
            ModelError: a readout or a loss is not finite.
        """
        self._reduction.require_finite(self._holder)
        for chunk, losses in waiting:
            means = tree_mean_losses(chunk, losses.cpu().numpy())
            require_finite_losses(means, partial(self._where, chunk.sequences))
            self._losses[chunk.sequences] = means

    def finish(self, places: IntArray) -> UnitSums:
        """Everything, the losses in the order of the distinct prompts."""
        done = self._reduction.finish()
        losses = self._losses[places] if self._task.scored else None
        return UnitSums(sums=done.sums, counts=done.counts, losses=losses)

    def _holder(self, sequence: int) -> tuple[str, int]:
        holder = self._task.holder or self._task.prompts.holder
        return holder(int(self._tree.rows[sequence]))

    def _where(self, sequences: IntArray, unsound: IntArray) -> str:
        """Name the first prompt that is not sound, by its index in ``sequences``."""
        unit, prompt = self._holder(int(sequences[unsound[0]]))
        return f"unit {unit}, prompt {prompt}"
