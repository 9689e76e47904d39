"""circuitgpt on a prefix tree: every distinct prefix once, layer by layer.

What a layer does at a node depends on the node's ancestors alone. Per-token work runs on all nodes
of a chunk as one matrix ``[nodes, width]``, by the network's own modules; only attention looks
from a node to others, in the blocks of `science.tree_blocks`. No keys and values outlive their
layer, so memory depends on the chunk's size and not on the number of prompts.

The result is that of the network's ``forward`` up to the order of float sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn

from atlas_assets.models.circuitgpt import CircuitGPTForCausalLM
from atlas_assets.models.circuitgpt_layers import KEY_MULTIPLE, QUERY_MULTIPLE, Attention, Block
from atlas_assets.science.placing import placed
from atlas_assets.science.prefix_tree import TreeChunk
from atlas_assets.science.tree_blocks import block_groups

#: attention scores held at a time: small enough for a CPU's caches, enough to fill an accelerator
SCORES_ON_CPU = 2**17
SCORES_ELSEWHERE = 2**27
#: attention biases of a whole chunk that are kept for all layers
BIAS_ON_CPU = 2**23
BIAS_ELSEWHERE = 2**28
#: logits held at a time, in float32 (1 MiB; 256 MiB)
LOGITS_ON_CPU = 2**18
LOGITS_ELSEWHERE = 2**26


@dataclass(frozen=True, eq=False)
class ChunkReadings:
    """What the network gives for one chunk, on its device.

    Attributes:
        readouts: float32 ``[sequences, layers, width]``, at each sequence's last token.
        losses: float32 ``[nodes]``, −log p in nats of each node's token given its parent's prefix,
            0 at a node without a parent; None where no losses were asked for.
    """

    readouts: Tensor
    losses: Tensor | None


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
class _Piece:
    """Nodes whose logits are computed together, and the children that these predict."""

    nodes: Tensor
    children: Tensor
    parents: Tensor


class TreeNetwork:
    """Runs chunks of a prefix tree.

    Args:
        network: in eval mode. Its modules are called on ``[nodes, width]``.
    """

    def __init__(self, network: CircuitGPTForCausalLM) -> None:
        self._network = network
        self._stack = network.circuit_model.transformer
        self._config = network.config
        weight = self._stack.wte.weight
        self._device, self._dtype = weight.device, weight.dtype
        on_cpu = self._device.type == "cpu"
        self._most_scores = (SCORES_ON_CPU if on_cpu else SCORES_ELSEWHERE) // self._config.n_head
        self._most_bias = BIAS_ON_CPU if on_cpu else BIAS_ELSEWHERE
        self._most_logits = LOGITS_ON_CPU if on_cpu else LOGITS_ELSEWHERE

    @torch.inference_mode()
    def run(self, chunk: TreeChunk, *, losses: bool) -> ChunkReadings:
        """Run one chunk; on an accelerator the result may still be under way.

        Args:
            chunk: a part of the tree, no deeper than the network's block size.
            losses: also compute the losses of its nodes.
        """
        tokens, depths, ends = (
            self._put(part) for part in (chunk.tokens, chunk.depths, chunk.ends)
        )
        blocks = self._blocks(chunk)
        x = self._stack.wte(tokens)
        positions = self._stack.wpe.weight[: int(chunk.depths.max()) + 1]
        if self._stack.adds_positions:
            x = x + positions[depths]
        rows = []
        last = len(self._stack.h) - 1
        for layer, block in enumerate(self._stack.h):
            # behind the last layer's readouts only the logits are to come
            wanted = ends if layer == last and not losses else None
            x, readout = _run_block(cast(Block, block), x, positions, depths, blocks, wanted)
            rows.append((readout if wanted is not None else readout[ends]).float())
        return ChunkReadings(
            readouts=torch.stack(rows, dim=1),
            losses=self._losses(chunk, tokens, x) if losses else None,
        )

    def _blocks(self, chunk: TreeChunk) -> list[_Blocks]:
        heads = self._config.n_head
        groups = list(
            block_groups(
                chunk,
                most_scores=self._most_scores,
                multiples=(QUERY_MULTIPLE, KEY_MULTIPLE),
                sink=self._config.sink,
            )
        )
        # a sink's logits differ by head: a bias that is small is spread out once for all layers
        size = sum(group.visible.size for group in groups) * heads
        spread = heads if self._config.sink and size <= self._most_bias else 1
        return [
            _Blocks(
                asked=self._put(np.minimum(group.queries, len(chunk) - 1).ravel()),
                answered=self._put(group.queries.ravel()),
                keys=self._put(group.keys),
                hidden=self._hide(self._put(group.visible), spread),
            )
            for group in groups
        ]

    def _losses(self, chunk: TreeChunk, tokens: Tensor, x: Tensor) -> Tensor:
        model = self._network.circuit_model
        losses = torch.zeros(len(chunk), dtype=torch.float32, device=x.device)
        for piece in self._pieces(chunk):
            logits = model.lm_head(self._stack.ln_f(x[piece.nodes]))
            logits += model.final_logits_bias
            if self._config.enable_bigram_table:
                logits += F.embedding(tokens[piece.nodes], model.bigram_table)
            logits = logits.float()
            # log Σ exp in place: the logits are by far the largest tensor here
            logits -= logits.amax(dim=-1, keepdim=True)
            wanted = logits[piece.parents, tokens[piece.children]]
            total = logits.exp_().sum(dim=-1).log_()
            losses[piece.children] = total[piece.parents] - wanted
        return losses

    def _pieces(self, chunk: TreeChunk) -> Iterator[_Piece]:
        parents = chunk.parents
        (children,) = np.nonzero(parents >= 0)
        children = children[np.argsort(parents[children], kind="stable")]
        inner, slots = np.unique(parents[children], return_inverse=True)
        size = max(self._most_logits // self._config.vocab_size, 1)
        for start in range(0, len(inner), size):
            low, high = np.searchsorted(slots, (start, start + size))
            yield _Piece(
                nodes=self._put(inner[start : start + size]),
                children=self._put(children[low:high]),
                parents=self._put(slots[low:high] - start),
            )

    def _put(self, array: npt.NDArray[np.generic]) -> Tensor:
        return placed(array, self._device)

    def _hide(self, visible: Tensor, heads: int) -> Tensor:
        zeros = torch.zeros(visible.shape, dtype=self._dtype, device=self._device)
        hidden = zeros.masked_fill_(~visible, float("-inf"))[:, None]
        return hidden if heads == 1 else hidden.expand(-1, heads, -1, -1).clone()


def _run_block(
    block: Block,
    x: Tensor,
    positions: Tensor,
    depths: Tensor,
    blocks: list[_Blocks],
    wanted: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """One layer's residual stream to the next, and its readout; see `Block.forward`.

    Args:
        block: the layer.
        x: ``[nodes, d_model]``.
        positions: position embeddings, by depth.
        depths: int64 ``[nodes]``.
        blocks: the chunk's.
        wanted: int64, the nodes to go on with after attention; None: all.
    """
    update = _attend(block.attn, _beside(block.ln_1(x), block.ln_p1, positions, depths), blocks)
    if wanted is not None:
        x, update, depths = x[wanted], update[wanted], depths[wanted]
    update = block.attn.sparse_out(block.attn.c_proj(update))
    x = block.sparse_post_attn(block.add(x, update))
    readout: Tensor = block.mlp(_beside(block.ln_2(x), block.ln_p2, positions, depths))
    return block.sparse_post_mlp(block.add(x, readout)), readout


def _beside(x: Tensor, norm: nn.Module | None, positions: Tensor, depths: Tensor) -> Tensor:
    """``x`` with the normed position embeddings after it, where the block has them."""
    return x if norm is None else torch.cat([x, norm(positions)[depths]], dim=-1)


def _attend(attn: Attention, x: Tensor, blocks: list[_Blocks]) -> Tensor:
    """Heads ``[nodes, n_head · d_head]`` before their projection; see `Attention.forward`."""
    nodes, heads, width = len(x), attn.n_head, attn.d_head
    inner = heads * width
    q, k, v = attn.c_attn(attn.sparse_in(x)).chunk(3, dim=-1)
    q = attn.sparse_q(q)
    # one more row of zeros: the sink, and keys that are not there
    pairs = x.new_empty(nodes + 1, 2, inner)
    pairs[:nodes, 0] = attn.sparse_k(k)
    pairs[:nodes, 1] = attn.sparse_v(v)
    pairs[nodes] = 0
    result = x.new_empty(nodes + 1, inner)
    for group in blocks:
        count, n_keys = group.keys.shape
        seen = pairs.view(nodes + 1, 2 * inner).index_select(0, group.keys.view(-1))
        seen = seen.view(count, n_keys, 2, heads, width).transpose(1, 3)
        asked = q.index_select(0, group.asked).view(count, -1, heads, width)
        found = F.scaled_dot_product_attention(
            asked.transpose(1, 2),
            seen[:, :, 0],
            seen[:, :, 1],
            attn_mask=_bias(attn, group.hidden),
        )
        answers = found.transpose(1, 2).reshape(-1, inner)
        result.index_copy_(0, group.answered, answers)
    return result[:nodes]


def _bias(attn: Attention, hidden: Tensor) -> Tensor:
    """What is added to the scores: −inf at what is not seen, the sink's logit at its place."""
    if attn.attn_imp is None:
        return hidden
    bias = hidden
    if hidden.shape[1] < attn.n_head:
        bias = hidden.expand(-1, attn.n_head, -1, -1).clone()
    bias[..., 0] = attn.attn_imp.sink_logit.to(hidden.dtype)[None, :, None]
    return bias
