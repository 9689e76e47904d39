"""The readout `published` of a circuitgpt on a prefix tree, to the bits of its padded batches.

The release reads a row that is padded on the left at (real tokens − 1), so that what it reads
depends on the padding and a part of the prompt alone, and rows have much in common. To the bit,
it depends on the length of the batch as well: a sum over a row of scores goes by vector registers,
and keys that do not fill the last one are added in another way (`padded_attention`). Only the last
few queries of a batch's longest rows see such keys. Their nodes are kept apart by that length,
and attend to exactly as many keys as in the batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import cast
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch

from atlas_assets.extraction.batching import padded, placed
from atlas_assets.extraction.passes import Pass
from atlas_assets.extraction.prefix_tree import PrefixTree, TreeChunk
from atlas_assets.extraction.prompts import IntArray, TokenTable, table_of
from atlas_assets.extraction.readouts import tapped
from atlas_assets.extraction.tree_attention import BLOCK_NODES
from atlas_assets.extraction.tree_network import TreeNetwork
from atlas_assets.models.circuitgpt_layers import KEY_MULTIPLE, in_authors_order
from atlas_assets.models.circuitgpt_network import CircuitGPTNetwork
from atlas_assets.models.loaded import LoadedModel

#: the longest row that is run here: beyond it torch's attention cuts queries in another way
LONGEST = 191
#: queries of a block for which the matrix product of a CPU takes another kernel, at most
FEW_QUERIES = 3
#: a matrix product of fewer tokens may take another kernel
LEAST_TOKENS = 64
#: heads of other widths were seen to get other bits
HEAD_MULTIPLE = 16

#: the first sequence of a chunk and one past its last, and the chunk
_Chunk = tuple[tuple[int, int], TreeChunk]

_log = logging.getLogger(__name__)
#: whether the tree of a network gave the bits of a batch; each network is tried once
_exact: WeakKeyDictionary[LoadedModel, bool] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class PublishedReadouts:
    """What the release reads of some runs.

    Attributes:
        found: float32 ``[sequences, layers, width]``.
        places: int64 ``[runs]``, the sequence of each run.
    """

    found: torch.Tensor
    places: IntArray

    def of(self, runs: IntArray) -> torch.Tensor:
        """Return the readouts of some runs, float32 ``[runs, layers, width]``."""
        return self.found[placed(self.places[runs], self.found.device)]


def read(task: Pass, batches: Sequence[IntArray]) -> PublishedReadouts | None:
    """Run every distinct prefix of the rows of some batches once; None where that is not exact.

    Args:
        task: a pass with the readout `published`.
        batches: rows of the table that the release ran together, run by run.
    """
    model, table = task.model, task.prompts.table
    lengths = np.asarray([table.lengths[rows].max() for rows in batches])
    tokens = lengths * [len(rows) for rows in batches]
    longest = int(lengths.max())
    network = model.network
    if (
        not task.tree
        or not isinstance(network, CircuitGPTNetwork)
        or (model.device.type, model.dtype) != ("cpu", torch.float32)
        or longest > LONGEST
        or tokens.min() < LEAST_TOKENS
        or network.config.d_head % HEAD_MULTIPLE
        or network.config.vocab_size * (2 * longest + 2) >= 2**31
        or not _exact.get(model, True)
    ):
        return None
    found = _on_tree(task, network, batches)
    if model not in _exact:
        few = (lengths % BLOCK_NODES - 1) % BLOCK_NODES
        tried = {0, int(tokens.argmin()), int(lengths.argmax()), int(few.argmin())}
        _exact[model] = all(_is_exact(model, table, batches, number, found) for number in tried)
        if not _exact[model]:
            _log.info("prompts run in padded batches: on their tree, bits differ on this machine")
    return found if _exact[model] else None


@dataclass(frozen=True)
class _ReadChunks:
    """Runs a circuitgpt on chunks of the tree, for their readouts alone."""

    @contextmanager
    def on(self, model: LoadedModel) -> Iterator[Callable[[_Chunk], torch.Tensor]]:
        with tapped(model) as tap:
            yield partial(self._run, TreeNetwork(cast(CircuitGPTNetwork, model.network), tap))

    def _run(self, network: TreeNetwork, chunk: _Chunk) -> torch.Tensor:
        return network.run(chunk[1], losses=False)[0]


def _on_tree(
    task: Pass, network: CircuitGPTNetwork, batches: Sequence[IntArray]
) -> PublishedReadouts:
    model, table = task.model, task.prompts.table
    vocabulary, sink = network.config.vocab_size, int(network.config.sink)
    sequences = []
    for rows in batches:
        ids = padded(table, rows, model.tokenizer.pad_id, side="left").astype(np.int32)
        ids += vocabulary * _marks(ids.shape[1], sink)
        sequences += [row[:length] for row, length in zip(ids, table.lengths[rows], strict=True)]
    marked = table_of(sequences)
    tree, places = PrefixTree.of(marked, np.arange(len(marked)))
    found = torch.empty((len(tree), model.n_layers, model.width), dtype=torch.float32)

    def take(chunk: _Chunk, readouts: torch.Tensor) -> None:
        found[slice(*chunk[0])] = readouts

    chunks = ((cut, _decoded(tree.chunk(*cut), vocabulary, sink)) for cut in tree.cuts(task.budget))
    task.engine.run(model, _ReadChunks(), chunks, take)
    return PublishedReadouts(found, places)


def _is_exact(
    model: LoadedModel,
    table: TokenTable,
    batches: Sequence[IntArray],
    number: int,
    found: PublishedReadouts,
) -> bool:
    """Run one of the batches as the release does, and compare."""
    rows = batches[number]
    first = sum(len(before) for before in batches[:number])
    ids = padded(table, rows, model.tokenizer.pad_id, side="left")
    last = placed(table.lengths[rows] - 1, model.device)
    places = (torch.arange(len(rows), device=model.device), last)
    with in_authors_order(model.network), tapped(model) as tap:
        expected, _ = tap.read(model.base, placed(ids, model.device), places)
    return torch.equal(found.of(first + np.arange(len(rows))), expected)


def _marks(longest: int, sink: int) -> npt.NDArray[np.int32]:
    """Return a mark for each position of a batch's rows: where the length matters, 2 · length.

    One more where there are too few queries for the kernel that usually takes them.
    """
    positions = np.arange(longest)
    few = 0 < longest % BLOCK_NODES <= FEW_QUERIES
    in_few = few & (positions >= longest // BLOCK_NODES * BLOCK_NODES)
    matters = positions + sink >= (longest + sink) // KEY_MULTIPLE * KEY_MULTIPLE
    return np.where(matters | in_few, 2 * longest + in_few, 0).astype(np.int32)


def _decoded(chunk: TreeChunk, vocabulary: int, sink: int) -> TreeChunk:
    """Return a chunk with the network's tokens, and with the sizes that their marks stood for."""
    marks = chunk.tokens // vocabulary
    lengths = marks // 2
    # as in the batch after a whole block, where there is one: the place in memory matters too
    few = lengths % BLOCK_NODES + np.where(lengths > BLOCK_NODES, BLOCK_NODES, 0)
    queries = np.where(marks % 2, few, 0)
    keys = np.where(lengths > 0, lengths + sink, 0)
    exact = np.stack([queries, keys], axis=1)
    return replace(chunk, tokens=chunk.tokens % vocabulary, exact=exact)
