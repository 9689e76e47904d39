"""circuitgpt on a prefix tree: every distinct prefix once, layer by layer.

What a layer does at a node depends on the node's ancestors alone. Per-token work runs on all nodes
of a chunk as one matrix ``[nodes, width]``, by the network's own modules; only attention looks
from a node to others (`tree_attention`). No keys and values outlive their layer, so memory
depends on the chunk's size and not on the number of prompts.

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

from atlas_assets.extraction.batching import placed
from atlas_assets.extraction.prefix_tree import TreeChunk
from atlas_assets.extraction.tree_attention import ChunkAttention
from atlas_assets.models.circuitgpt import CircuitGPTForCausalLM
from atlas_assets.models.circuitgpt_config import CircuitGPTConfig
from atlas_assets.models.circuitgpt_layers import Block

#: logits held at a time, in float32 (4 MiB; 256 MiB)
LOGITS_ON_CPU = 2**20
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
        self._config = cast(CircuitGPTConfig, network.config)
        weight = self._stack.wte.weight
        self._device, self._dtype = weight.device, weight.dtype
        on_cpu = self._device.type == "cpu"
        self._most_logits = LOGITS_ON_CPU if on_cpu else LOGITS_ELSEWHERE

    @torch.inference_mode()
    def run(self, chunk: TreeChunk, *, losses: bool) -> ChunkReadings:
        """Run the network on one chunk; on an accelerator the result may still be under way.

        Args:
            chunk: a part of the tree, no deeper than the network's block size.
            losses: also compute the losses of the chunk's nodes.
        """
        tokens, depths, ends = (
            self._put(part) for part in (chunk.tokens, chunk.depths, chunk.ends)
        )
        attention = ChunkAttention(chunk, self._config, self._device, self._dtype)
        x = self._stack.wte(tokens)
        positions = self._stack.wpe.weight[: int(chunk.depths.max()) + 1]
        if self._stack.adds_positions:
            x = x + positions[depths]
        rows = []
        last = len(self._stack.h) - 1
        for layer, block in enumerate(self._stack.h):
            # behind the last layer's readouts only the logits are to come
            wanted = ends if layer == last and not losses else None
            x, readout = _run_block(cast(Block, block), x, positions, depths, attention, wanted)
            rows.append((readout if wanted is not None else readout[ends]).float())
        return ChunkReadings(
            readouts=torch.stack(rows, dim=1),
            losses=self._losses(chunk, tokens, x) if losses else None,
        )

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


def _run_block(
    block: Block,
    x: Tensor,
    positions: Tensor,
    depths: Tensor,
    attention: ChunkAttention,
    wanted: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Carry the residual stream through one layer as `Block.forward` does; also its readout.

    Args:
        block: the layer.
        x: ``[nodes, d_model]``.
        positions: position embeddings, by depth.
        depths: int64 ``[nodes]``.
        attention: attention among the chunk's nodes.
        wanted: int64, the nodes to go on with after attention; None: all.
    """
    entered = _beside(block.ln_1(x), block.ln_p1, positions, depths)
    update = attention.attend(block.attn, entered)
    if wanted is not None:
        x, update, depths = x[wanted], update[wanted], depths[wanted]
    update = block.attn.sparse_out(block.attn.c_proj(update))
    x = block.sparse_post_attn(block.add(x, update))
    readout: Tensor = block.mlp(_beside(block.ln_2(x), block.ln_p2, positions, depths))
    return block.sparse_post_mlp(block.add(x, readout)), readout


def _beside(x: Tensor, norm: nn.Module | None, positions: Tensor, depths: Tensor) -> Tensor:
    """``x`` with the normed position embeddings after it, where the block has them."""
    return x if norm is None else torch.cat([x, norm(positions)[depths]], dim=-1)
