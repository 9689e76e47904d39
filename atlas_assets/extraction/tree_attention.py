"""Attention of the nodes of a prefix tree to their ancestors, in rectangular pieces.

A block is a few consecutive nodes that one sequence adds; its keys are the whole path from the
root to the last of them, in the order of depth, and a node sees those no deeper than itself. Keys
lie at the same places as in a plain pass over the sequence, after one column for an attention
sink, and the numbers of keys and queries are padded in the same way
(`models.circuitgpt_layers.padded_attention`): what a node gets is then the same, bit by bit,
whichever way the network is run. Blocks of similar size are worked on together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor

from atlas_assets.extraction.batching import placed
from atlas_assets.extraction.prefix_tree import TreeChunk
from atlas_assets.extraction.prompts import IntArray
from atlas_assets.models.circuitgpt_config import CircuitGPTConfig
from atlas_assets.models.circuitgpt_layers import KEY_MULTIPLE, QUERY_MULTIPLE, Attention

#: most nodes of a block: what fused attention takes at a time on a CPU
BLOCK_NODES = 32
#: the most keys of a group exceed the fewest by this share at most
KEY_SLACK = 0.125
#: attention scores held at a time: small enough for a CPU's caches, enough to fill an accelerator
SCORES_ON_CPU = 2**17
SCORES_ELSEWHERE = 2**27


@dataclass(frozen=True, eq=False)
class BlockGroup:
    """Blocks that attend together.

    Attributes:
        queries: int64 ``[blocks, queries]``: numbers of nodes; the number of all nodes marks a
            place without a node.
        keys: int64 ``[blocks, keys]``: the same, by depth; the first column is free for a sink
            where one was asked for.
        visible: bool ``[blocks, queries, keys]``; false in that column and at places without node.
    """

    queries: IntArray
    keys: IntArray
    visible: npt.NDArray[np.bool_]


def block_groups(chunk: TreeChunk, *, most_scores: int, sink: bool) -> Iterator[BlockGroup]:
    """Make every node of a chunk a query of some block, and group blocks of similar size.

    Numbers of queries and of keys, where they do not matter, are rounded up as
    `padded_attention` does.

    Args:
        chunk: the nodes.
        most_scores: bound on blocks · queries · keys of a group (a single block may exceed it).
        sink: leave the first column of the keys free.
    """
    firsts, lasts = _blocks(chunk)
    n_queries = -(-(lasts + 1 - firsts) // QUERY_MULTIPLE) * QUERY_MULTIPLE
    n_keys = -(-(int(sink) + chunk.depths[lasts] + 1) // KEY_MULTIPLE) * KEY_MULTIPLE
    exact = np.zeros(len(firsts), dtype=np.bool_)
    if chunk.exact is not None:
        queries, keys = chunk.exact[lasts].T
        n_queries = np.where(queries > 0, queries, n_queries)
        n_keys = np.where(keys > 0, keys, n_keys)
        exact = keys > 0
    order = np.lexsort((n_keys, n_queries, exact))
    for group in _groups(n_queries[order], n_keys[order], exact[order], most_scores):
        blocks = order[group]
        shape = int(n_queries[blocks[0]]), int(n_keys[blocks].max())
        yield _group(chunk, firsts[blocks], lasts[blocks], shape, int(sink))


def _blocks(chunk: TreeChunk) -> tuple[IntArray, IntArray]:
    """Return the first and the last node of every block."""
    starts = chunk.starts[:-1]
    if chunk.exact is not None:
        changes = np.diff(chunk.exact, axis=0).any(axis=1)
        starts = np.union1d(starts, np.flatnonzero(changes) + 1)
    ends = np.append(starts[1:], len(chunk))
    per_sequence = -(-(ends - starts) // BLOCK_NODES)
    number = np.arange(per_sequence.sum()) - np.repeat(
        np.cumsum(per_sequence) - per_sequence, per_sequence
    )
    firsts = np.repeat(starts, per_sequence) + number * BLOCK_NODES
    return firsts, np.minimum(firsts + BLOCK_NODES, np.repeat(ends, per_sequence)) - 1


def _groups(
    n_queries: IntArray, n_keys: IntArray, exact: npt.NDArray[np.bool_], most_scores: int
) -> Iterator[slice]:
    """Yield runs of blocks of equally many queries and similarly many keys, both ascending.

    Blocks of an ``exact`` number of keys, which come last, go with those of the same number.
    """
    first = 0
    for block in range(1, len(n_queries) + 1):
        if block < len(n_queries):
            slack = 0 if exact[block] else KEY_SLACK
            alike = (
                n_queries[block] == n_queries[first]
                and n_keys[block] * (1 - slack) <= n_keys[first]
                and exact[block] == exact[first]
            )
            size = (block + 1 - first) * n_queries[block] * n_keys[block]
            if alike and size <= most_scores:
                continue
        yield slice(first, block)
        first = block


def _group(
    chunk: TreeChunk, firsts: IntArray, lasts: IntArray, shape: tuple[int, int], sink: int
) -> BlockGroup:
    # a block of few queries comes after a whole one, which stays empty
    lead = BLOCK_NODES if shape[0] > BLOCK_NODES else 0
    nodes = firsts[:, None] + np.arange(shape[0]) - lead
    real = (nodes >= firsts[:, None]) & (nodes <= lasts[:, None])
    queries = np.where(real, nodes, len(chunk))
    levels = np.arange(shape[1]) - sink
    deepest = chunk.depths[lasts][:, None]
    on_path = (levels >= 0) & (levels <= deepest)
    keys = np.full((len(firsts), shape[1]), len(chunk), dtype=np.int64)
    block, column = np.nonzero(on_path)
    keys[block, column] = chunk.before(lasts[block] + 1, levels[column])
    depths = np.where(real, chunk.depths[np.clip(nodes, 0, len(chunk) - 1)], -1)
    visible = on_path[:, None, :] & (levels <= depths[:, :, None])
    return BlockGroup(queries=queries, keys=keys, visible=visible)


class ChunkAttention:
    """Attention within one chunk, for one layer after the other.

    Args:
        chunk: the nodes.
        config: sizes and options of the network.
        device: where the network's weights lie.
        dtype: precision of the network's weights.
    """

    def __init__(
        self, chunk: TreeChunk, config: CircuitGPTConfig, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._nodes = nodes = len(chunk)
        scores = SCORES_ON_CPU if device.type == "cpu" else SCORES_ELSEWHERE
        groups = block_groups(chunk, most_scores=scores // config.n_head, sink=config.sink)
        shown = torch.zeros((), dtype=dtype, device=device)
        #: of each group, on the device: the nodes that ask (any node at a place without one), the
        #: rows of the answers (at such a place, one row after the last node's), the keys, and what
        #: is added to the scores, ``[blocks, 1, queries, keys]``, 0 or −inf
        self._groups = [
            (
                placed(np.minimum(group.queries, nodes - 1).ravel(), device),
                placed(group.queries.ravel(), device),
                placed(group.keys, device),
                shown.masked_fill(placed(~group.visible, device), float("-inf"))[:, None],
            )
            for group in groups
        ]

    def attend(self, attn: Attention, x: Tensor) -> Tensor:
        """Compute what a layer's attention adds to the residual stream: ``[nodes, d_model]``.

        Args:
            attn: attention module of the layer.
            x: ``[nodes, width_in]``, the input of that module.
        """
        nodes, heads, width = self._nodes, attn.n_head, attn.d_head
        inner = heads * width
        q, k, v = attn.c_attn(attn.sparse_in(x)).chunk(3, dim=-1)
        q = attn.sparse_q(q)
        # one more row, of zeros, stands for the sink and for places without a key
        pairs = x.new_empty(nodes + 1, 2, inner)
        attn.sparse_k(k, out=pairs[:nodes, 0])
        attn.sparse_v(v, out=pairs[:nodes, 1])
        pairs[nodes] = 0
        flat_pairs = pairs.view(nodes + 1, 2 * inner)
        result = x.new_empty(nodes + 1, inner)
        for asking, answered, keys, hidden in self._groups:
            count, n_keys = keys.shape
            seen = flat_pairs.index_select(0, keys.view(-1))
            seen = seen.view(count, n_keys, 2, heads, width).transpose(1, 3)
            asked = q.index_select(0, asking).view(count, -1, heads, width).transpose(1, 2)
            bias = _bias(attn, hidden)
            found = F.scaled_dot_product_attention(asked, seen[:, :, 0], seen[:, :, 1], bias)
            result.index_copy_(0, answered, found.transpose(1, 2).reshape(-1, inner))
        return attn.finish(result[:nodes])


def _bias(attn: Attention, hidden: Tensor) -> Tensor:
    """Return what is added to the scores: −inf at hidden keys, the logit of the sink at its key."""
    if attn.attn_imp is None:
        return hidden
    bias = hidden.expand(-1, attn.n_head, -1, -1).clone()
    bias[..., 0] = attn.attn_imp.sink_logit.to(hidden.dtype)[None, :, None]
    return bias
