"""Which nodes of a prefix tree attend to which, in rectangular pieces.

A block is a few consecutive nodes that one sequence adds; its keys are the whole path from the
root to the last of them, in the order of depth, and a node sees those no deeper than itself. Keys
lie at the same places as in a plain pass over the sequence, behind one column for an attention
sink, and the numbers of keys and queries are padded as there
(`models.circuitgpt_layers.padded_attention`): what a node gets is then the same, bit by bit,
whichever way the network is run. Blocks of similar size are worked on together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atlas_assets.extraction.batching import IntArray
from atlas_assets.extraction.prefix_tree import TreeChunk

#: most nodes of a block: what fused attention takes at a time on a CPU
BLOCK_NODES = 32
#: the most keys of a group exceed the fewest by this share at most
KEY_SLACK = 0.125


@dataclass(frozen=True, eq=False)
class BlockGroup:
    """Blocks that attend together.

    Attributes:
        queries: int64 ``[blocks, queries]``: node numbers; the number of nodes where there is none.
        keys: int64 ``[blocks, keys]``: likewise, by depth; the first column is none where asked
            for as the place of a sink.
        visible: bool ``[blocks, queries, keys]``; false in that column and where there is no node.
    """

    queries: IntArray
    keys: IntArray
    visible: npt.NDArray[np.bool_]


def block_groups(
    chunk: TreeChunk, *, most_scores: int, multiples: tuple[int, int], sink: bool
) -> Iterator[BlockGroup]:
    """All nodes of a chunk as queries of blocks, grouped.

    Args:
        chunk: the nodes.
        most_scores: bound on blocks · queries · keys of a group (a single block may exceed it).
        multiples: numbers of queries and of keys are rounded up to multiples of these.
        sink: leave the first column of the keys free.
    """
    firsts, lasts = _blocks(chunk)
    n_queries = _up(lasts + 1 - firsts, multiples[0])
    n_keys = _up(int(sink) + chunk.depths[lasts] + 1, multiples[1])
    order = np.lexsort((n_keys, n_queries))
    for group in _groups(n_queries[order], n_keys[order], most_scores):
        blocks = order[group]
        shape = int(n_queries[blocks[0]]), int(n_keys[blocks].max())
        yield _group(chunk, firsts[blocks], lasts[blocks], shape, int(sink))


def _up(sizes: IntArray, multiple: int) -> IntArray:
    rounded: IntArray = -(-sizes // multiple) * multiple
    return rounded


def _blocks(chunk: TreeChunk) -> tuple[IntArray, IntArray]:
    """First and last node of every block."""
    starts, ends = chunk.starts[:-1], chunk.starts[1:]
    per_sequence = -(-(ends - starts) // BLOCK_NODES)
    number = np.arange(per_sequence.sum()) - np.repeat(
        np.cumsum(per_sequence) - per_sequence, per_sequence
    )
    firsts = np.repeat(starts, per_sequence) + number * BLOCK_NODES
    return firsts, np.minimum(firsts + BLOCK_NODES, np.repeat(ends, per_sequence)) - 1


def _groups(n_queries: IntArray, n_keys: IntArray, most_scores: int) -> Iterator[slice]:
    """Runs of blocks of equally many queries and similarly many keys, both ascending."""
    first = 0
    for block in range(1, len(n_queries) + 1):
        if block < len(n_queries):
            alike = (
                n_queries[block] == n_queries[first]
                and n_keys[block] * (1 - KEY_SLACK) <= n_keys[first]
            )
            size = (block + 1 - first) * n_queries[block] * n_keys[block]
            if alike and size <= most_scores:
                continue
        yield slice(first, block)
        first = block


def _group(
    chunk: TreeChunk, firsts: IntArray, lasts: IntArray, shape: tuple[int, int], sink: int
) -> BlockGroup:
    nodes = firsts[:, None] + np.arange(shape[0])
    real = nodes <= lasts[:, None]
    queries = np.where(real, nodes, len(chunk))
    levels = np.arange(shape[1]) - sink
    deepest = chunk.depths[lasts][:, None]
    on_path = (levels >= 0) & (levels <= deepest)
    keys = np.full((len(firsts), shape[1]), len(chunk), dtype=np.int64)
    block, column = np.nonzero(on_path)
    keys[block, column] = chunk.before(lasts[block] + 1, levels[column])
    depths = np.where(real, chunk.depths[np.minimum(nodes, len(chunk) - 1)], -1)
    visible = on_path[:, None, :] & (levels <= depths[:, :, None])
    return BlockGroup(queries=queries, keys=keys, visible=visible)
