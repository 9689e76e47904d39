"""Attention of the nodes of a prefix tree to their ancestors (see `science.tree_blocks`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor

from atlas_assets.extraction.placing import placed
from atlas_assets.extraction.prefix_tree import TreeChunk
from atlas_assets.extraction.tree_blocks import BlockGroup, block_groups
from atlas_assets.models.circuitgpt_config import CircuitGPTConfig
from atlas_assets.models.circuitgpt_layers import KEY_MULTIPLE, QUERY_MULTIPLE, Attention

#: attention scores held at a time: small enough for a CPU's caches, enough to fill an accelerator
SCORES_ON_CPU = 2**17
SCORES_ELSEWHERE = 2**27
#: attention biases of a whole chunk that are kept for all layers
BIAS_ON_CPU = 2**23
BIAS_ELSEWHERE = 2**28


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
        config: the network's.
        device: the network's.
        dtype: the network's.
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
        """Heads ``[nodes, n_head · d_head]`` before their projection; see `Attention.forward`.

        Args:
            attn: the layer's.
            x: ``[nodes, width_in]``, its input.
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
