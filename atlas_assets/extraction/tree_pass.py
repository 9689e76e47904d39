"""One pass over the prefix tree of all prompts: readouts and losses, resumable.

The tree is cut into chunks, and the chunks are grouped into legs, in a fixed order. At the end of
some legs the sums so far are written down, so that a run that was killed goes on from there. The
sums always grow in the same order, so the result does not depend on when they were written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from scipy.sparse import coo_array, csc_array

from atlas_assets.extraction.losses import tree_mean_losses
from atlas_assets.extraction.passes import Pass, UnitSums
from atlas_assets.extraction.prefix_tree import PrefixTree, TreeChunk
from atlas_assets.extraction.prompts import IntArray
from atlas_assets.extraction.readouts import tapped
from atlas_assets.extraction.reduction import Reduction, require_finite_losses
from atlas_assets.extraction.shards import Arrays
from atlas_assets.extraction.spots import Spots
from atlas_assets.extraction.tree_model import TreeModel
from atlas_assets.extraction.tree_network import TreeNetwork
from atlas_assets.models.circuitgpt_network import CircuitGPTNetwork
from atlas_assets.models.loaded import LoadedModel

#: the number of a chunk's first sequence, and one more than that of its last
Cut = tuple[int, int]
#: the readouts of a piece, and the losses of its nodes
_Readings = tuple[torch.Tensor, torch.Tensor | None]
#: raise it when the plan or the arithmetic changes
PLAN_VERSION = 3
#: chunks in a leg: the most work that a kill can cost beyond the time since the last note
CHUNKS_PER_LEG = 16
#: seconds after which the sums are written down at the end of a leg
NOTE_SECONDS = 30.0


def run(task: Pass) -> UnitSums:
    """Run a pass, from the last note on where there is one; errors as `extract`.

    The network is a circuitgpt, or one that `tree_probe` lets pass.
    """
    rows = task.prompts.distinct
    tree, places = PrefixTree.of(task.prompts.table, rows)
    sequence_of_row = coo_array(
        (np.ones(len(rows)), (np.arange(len(rows)), places)), shape=(len(rows), len(tree))
    )
    ends = Spots(
        rows=np.arange(len(tree)),
        tokens=tree.lengths - 1,
        weights=csc_array(task.prompts.multiplicity @ sequence_of_row),
        thresholds=np.zeros((1, task.model.n_layers), np.float32),
    )
    read = [_Read.of(task, ends)]
    for spots in task.spots:
        sequences = places[np.searchsorted(rows, spots.rows)]
        order = np.argsort(sequences, kind="stable")
        read.append(_Read.of(task, replace(spots.at(order), rows=sequences[order])))
    walk = _Walk(task, tree, read)
    walk.go()
    (sums, counts), *at_spots = (part.reduction.finish() for part in read)
    losses = walk.losses[places] if task.scored else walk.losses
    return UnitSums(sums, counts[0], losses, at_spots=tuple(at_spots))


@dataclass(frozen=True, eq=False)
class _Read:
    """What is read of the tree: spots whose rows are its sequences, and their sums so far."""

    spots: Spots
    reduction: Reduction

    @classmethod
    def of(cls, task: Pass, spots: Spots) -> _Read:
        units = spots.weights.shape[0]
        return cls(spots, Reduction(task.model, units, len(spots), spots.thresholds))

    def of_cut(self, cut: Cut) -> slice:
        """The spots of some sequences."""
        return slice(*np.searchsorted(self.spots.rows, cut).tolist())

    def nodes(self, cut: Cut, chunk: TreeChunk) -> IntArray:
        """The nodes of the spots of a chunk's sequences."""
        some = self.of_cut(cut)
        return chunk.node_of(self.spots.rows[some] - cut[0], self.spots.tokens[some])

    def add(self, cut: Cut, readouts: torch.Tensor) -> None:
        """Add the readouts of those nodes to the sums."""
        some = self.of_cut(cut)
        units, weights = self.spots.weights_of(some)
        self.reduction.add(readouts, weights, units, np.arange(some.start, some.stop))


@dataclass(frozen=True, eq=False)
class _Piece:
    """A chunk of the tree, and the nodes of it that are read, int64 ``[reads]``."""

    cut: Cut
    chunk: TreeChunk
    nodes: IntArray


@dataclass(frozen=True)
class _ReadPieces:
    """Runs the network on pieces of the tree, for the losses of their nodes too where scored."""

    scored: bool

    @contextmanager
    def on(self, model: LoadedModel) -> Iterator[Callable[[_Piece], _Readings]]:
        network = model.network
        with tapped(model) as tap:
            if isinstance(network, CircuitGPTNetwork):
                yield partial(self._run, TreeNetwork(network, tap))
            else:
                yield partial(self._run, TreeModel(model, tap))

    def _run(self, network: TreeNetwork | TreeModel, piece: _Piece) -> _Readings:
        return network.run(piece.chunk, piece.nodes, losses=self.scored)


class _Walk:
    """A pass under way: its sums and losses so far."""

    def __init__(self, task: Pass, tree: PrefixTree, read: list[_Read]) -> None:
        self._task = task
        self._tree = tree
        self._read = read
        self._store = task.store(
            f"tree plan {PLAN_VERSION}, {task.budget} nodes, {CHUNKS_PER_LEG} chunks"
        )
        #: chunks of the current leg with their losses, which the device may still be computing
        self._waiting: list[tuple[TreeChunk, torch.Tensor]] = []
        self.losses = np.zeros(len(tree) if task.scored else 0)

    def go(self) -> None:
        """Run the chunks that are left; the next one starts before the last one is added up."""
        cuts = self._tree.cuts(self._task.budget)
        done = self._resume(len(cuts))
        self._task.track.skip(cuts[done][0] if done < len(cuts) else len(self._tree))
        noted = time.monotonic()

        def take(piece: _Piece, result: _Readings) -> None:
            nonlocal noted, done
            readouts, losses = result
            self._add(piece.cut, piece.chunk, readouts)
            if losses is not None:
                self._waiting.append((piece.chunk, losses))
            done += 1
            if done % CHUNKS_PER_LEG and done < len(cuts):
                return
            self._end_leg()
            if done == len(cuts) or time.monotonic() - noted > NOTE_SECONDS:
                self._store.put("state", self._state(done))
                noted = time.monotonic()

        work = _ReadPieces(self._task.scored)
        self._task.engine.run(self._task.model, work, map(self._piece, cuts[done:]), take)

    def _piece(self, cut: Cut) -> _Piece:
        chunk = self._tree.chunk(*cut)
        return _Piece(cut, chunk, np.concatenate([read.nodes(cut, chunk) for read in self._read]))

    def _state(self, chunks: int) -> Arrays:
        sums = {
            f"{name} {number}": array
            for number, read in enumerate(self._read)
            for name, array in read.reduction.state().items()
        }
        return {**sums, "chunks": np.asarray([chunks]), "losses": self.losses}

    def _resume(self, chunks: int) -> int:
        """Go on from a stored state and return how many of the ``chunks`` it has done."""
        state = self._store.get("state", like=self._state(0))
        if state is None or not 0 < int(state["chunks"][0]) <= chunks:
            return 0
        for number, read in enumerate(self._read):
            read.reduction.resume(state[f"sums {number}"], state[f"counts {number}"])
        self.losses[:] = state["losses"]
        return int(state["chunks"][0])

    def _add(self, cut: Cut, chunk: TreeChunk, readouts: torch.Tensor) -> None:
        sizes = [read.of_cut(cut).stop - read.of_cut(cut).start for read in self._read]
        for read, part in zip(self._read, torch.split(readouts, sizes), strict=True):
            read.add(cut, part)
        self._task.track.advance(len(chunk.sequences))

    def _end_leg(self) -> None:
        """Wait for the device, and check that the readouts and losses of the leg are finite."""
        for read in self._read:
            read.reduction.require_finite(partial(self._where_at, read.spots))
        for chunk, losses in self._waiting:
            means = tree_mean_losses(chunk, losses.cpu().numpy())
            require_finite_losses(means, partial(self._where_in, chunk))
            self.losses[chunk.sequences] = means
        self._waiting.clear()

    def _where_in(self, chunk: TreeChunk, place: int) -> str:
        return self._where(int(chunk.sequences[place]))

    def _where_at(self, spots: Spots, spot: int) -> str:
        return self._where(int(spots.rows[spot]))

    def _where(self, sequence: int) -> str:
        return self._task.prompts.where(int(self._tree.rows[sequence]))
