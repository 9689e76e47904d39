"""Attention of the nodes of a prefix tree to their ancestors, in rectangular pieces.

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
#: attention biases of a whole chunk that are kept for all layers
BIAS_ON_CPU = 2**23
BIAS_ELSEWHERE = 2**28


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
    """Make every node of a chunk a query of some block, and group blocks of similar size.

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
    """Return the first and the last node of every block."""
    starts, ends = chunk.starts[:-1], chunk.starts[1:]
    per_sequence = -(-(ends - starts) // BLOCK_NODES)
    number = np.arange(per_sequence.sum()) - np.repeat(
        np.cumsum(per_sequence) - per_sequence, per_sequence
    )
    firsts = np.repeat(starts, per_sequence) + number * BLOCK_NODES
    return firsts, np.minimum(firsts + BLOCK_NODES, np.repeat(ends, per_sequence)) - 1


def _groups(n_queries: IntArray, n_keys: IntArray, most_scores: int) -> Iterator[slice]:
    """Yield runs of blocks of equally many queries and similarly many keys, both ascending."""
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


@dataclass(frozen=True, eq=False)
class _Blocks:
    """A `BlockGroup` on the device.

    Attributes:
        asked: int64 ``[blocks · queries]``, the nodes that ask; any node where there is none.
        answered: likewise, the row behind the last node's where there is none.
        keys: int64 ``[blocks, keys]``.
        hidden: ``[blocks, 1 or heads, queries, keys]``, 0 or −inf.
    """

    asked: Tensor
    answered: Tensor
    keys: Tensor
    hidden: Tensor


@dataclass(frozen=True, eq=False)
class _Sinks:
    """The places of the sink's logits, which differ by layer and head, in a chunk's biases.

    Attributes:
        biases: ``hidden`` of all the chunk's blocks in one memory, flat.
        places: int64, those of the sink in it.
        heads: int64, the head whose logit is wanted at each.
    """

    biases: Tensor
    places: Tensor
    heads: Tensor

    def write(self, logits: Tensor) -> None:
        """Put a layer's logits ``[heads]`` in their places."""
        self.biases.index_copy_(0, self.places, logits.to(self.biases.dtype)[self.heads])


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
        self._nodes = len(chunk)
        self._device, self._dtype = device, dtype
        on_cpu = device.type == "cpu"
        groups = list(
            block_groups(
                chunk,
                most_scores=(SCORES_ON_CPU if on_cpu else SCORES_ELSEWHERE) // config.n_head,
                multiples=(QUERY_MULTIPLE, KEY_MULTIPLE),
                sink=config.sink,
            )
        )
        size = sum(group.visible.size for group in groups)
        # a sink's logits differ by head: biases that are small are spread out once for all layers
        most = BIAS_ON_CPU if on_cpu else BIAS_ELSEWHERE
        spread = config.sink and size * config.n_head <= most
        biases, hidden = self._hide(groups, config.n_head if spread else 1)
        self._sinks = self._find_sinks(biases, hidden) if spread else None
        self._blocks = [
            _Blocks(
                asked=self._put(np.minimum(group.queries, self._nodes - 1).ravel()),
                answered=self._put(group.queries.ravel()),
                keys=self._put(group.keys),
                hidden=bias,
            )
            for group, bias in zip(groups, hidden, strict=True)
        ]

    def attend(self, attn: Attention, x: Tensor) -> Tensor:
        """Compute the heads ``[nodes, n_head · d_head]``, before the layer's output projection.

        Args:
            attn: attention module of the layer.
            x: ``[nodes, width_in]``, the input of that module.
        """
        nodes, heads, width = self._nodes, attn.n_head, attn.d_head
        inner = heads * width
        q, k, v = attn.c_attn(attn.sparse_in(x)).chunk(3, dim=-1)
        q = attn.sparse_q(q)
        # one more row of zeros: the sink, and keys that are not there
        pairs = x.new_empty(nodes + 1, 2, inner)
        attn.sparse_k(k, out=pairs[:nodes, 0])
        attn.sparse_v(v, out=pairs[:nodes, 1])
        pairs[nodes] = 0
        flat_pairs = pairs.view(nodes + 1, 2 * inner)
        if self._sinks is not None and attn.attn_imp is not None:
            self._sinks.write(attn.attn_imp.sink_logit)
        result = x.new_empty(nodes + 1, inner)
        for group in self._blocks:
            count, n_keys = group.keys.shape
            seen = flat_pairs.index_select(0, group.keys.view(-1))
            seen = seen.view(count, n_keys, 2, heads, width).transpose(1, 3)
            asked = q.index_select(0, group.asked).view(count, -1, heads, width)
            found = F.scaled_dot_product_attention(
                asked.transpose(1, 2),
                seen[:, :, 0],
                seen[:, :, 1],
                attn_mask=self._bias(attn, group.hidden),
            )
            answers = found.transpose(1, 2).reshape(-1, inner)
            result.index_copy_(0, group.answered, answers)
        return result[:nodes]

    def _bias(self, attn: Attention, hidden: Tensor) -> Tensor:
        """What is added to the scores: −inf at what is not seen, the sink's logit at its place."""
        if attn.attn_imp is None or self._sinks is not None:
            return hidden
        bias = hidden.expand(-1, attn.n_head, -1, -1).clone()
        bias[..., 0] = attn.attn_imp.sink_logit.to(hidden.dtype)[None, :, None]
        return bias

    def _hide(self, groups: list[BlockGroup], heads: int) -> tuple[Tensor, list[Tensor]]:
        """The biases of all groups, flat, and each group's ``[blocks, heads, queries, keys]``."""
        sizes = [group.visible.size * heads for group in groups]
        biases = torch.zeros(sum(sizes), dtype=self._dtype, device=self._device)
        hidden = []
        for group, part in zip(groups, torch.split(biases, sizes), strict=True):
            count, n_queries, n_keys = group.visible.shape
            unseen = self._put(~group.visible)[:, None]
            hidden.append(part.view(count, heads, n_queries, n_keys))
            hidden[-1].masked_fill_(unseen, float("-inf"))
        return biases, hidden

    def _find_sinks(self, biases: Tensor, hidden: list[Tensor]) -> _Sinks:
        """The first column of every group's keys."""
        places, heads, start = [], [], 0
        for part in hidden:
            count, n_heads, n_queries, n_keys = part.shape
            rows = np.arange(count * n_heads * n_queries)
            places.append(start + rows * n_keys)
            heads.append(rows // n_queries % n_heads)
            start += part.numel()
        return _Sinks(biases, self._put(np.concatenate(places)), self._put(np.concatenate(heads)))

    def _put(self, array: npt.NDArray[np.generic]) -> Tensor:
        return placed(array, self._device)
