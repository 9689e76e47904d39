"""circuitgpt on a prefix tree: every distinct prefix once, layer by layer.

What a layer does at a node depends on the node's ancestors alone. Per-token work runs on all nodes
of a chunk as one matrix ``[nodes, width]``, by the network's own modules; only attention looks
from a node to others (`tree_attention`). No keys and values outlive their layer, so memory
depends on the chunk's size and not on the number of prompts.

The result is that of the network's ``forward`` up to the order of float sums.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor

from atlas_assets.extraction.batching import placed
from atlas_assets.extraction.losses import tree_losses
from atlas_assets.extraction.prefix_tree import TreeChunk
from atlas_assets.extraction.prompts import IntArray
from atlas_assets.extraction.readouts import ReadoutTap
from atlas_assets.extraction.tree_attention import ChunkAttention
from atlas_assets.models.circuitgpt_layers import Block
from atlas_assets.models.circuitgpt_network import CircuitGPTNetwork

#: logits held at a time, in float32 (4 MiB; 256 MiB)
LOGITS_ON_CPU = 2**20
LOGITS_ELSEWHERE = 2**26


class TreeNetwork:
    """Runs chunks of a prefix tree; a network's modules, in eval mode, get ``[nodes, width]``.

    Args:
        network: the network.
        tap: reads its layers.
    """

    def __init__(self, network: CircuitGPTNetwork, tap: ReadoutTap) -> None:
        self._network = network
        self._tap = tap
        self._stack = network.circuit_model.transformer
        self._config = network.config
        weight = self._stack.wte.weight
        self._device, self._dtype = weight.device, weight.dtype
        on_cpu = self._device.type == "cpu"
        self._most_logits = LOGITS_ON_CPU if on_cpu else LOGITS_ELSEWHERE

    @torch.inference_mode()
    def run(
        self, chunk: TreeChunk, nodes: IntArray | None = None, *, losses: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Run the network on one chunk; on an accelerator the result may still be under way.

        Args:
            chunk: a part of the tree, no deeper than the network's block size.
            nodes: int64 ``[reads]``, the nodes that are read; None: each sequence's last.
            losses: also compute the losses of the chunk's nodes.

        Returns:
            The readouts, float32 ``[reads, layers, width]``; and float32 ``[nodes of the chunk]``,
            −log p in nats of each node's token given its parent's prefix, 0 at a node without a
            parent, or None where no losses were asked for.
        """
        stack = self._stack
        tokens, depths, read = (
            placed(part, self._device)
            for part in (chunk.tokens, chunk.depths, chunk.ends if nodes is None else nodes)
        )
        attention = ChunkAttention(chunk, self._config, self._device, self._dtype)
        x, positions = stack.wte(tokens), stack.wpe(depths)
        if stack.adds_positions:
            x = x + positions
        self._tap.begin(read)
        for module in stack.h:
            block = cast(Block, module)
            x = block.step(x, positions, partial(attention.attend, block.attn))
        return self._tap.taken(), self._losses(chunk, tokens, x) if losses else None

    def _losses(self, chunk: TreeChunk, tokens: Tensor, x: Tensor) -> Tensor:
        model, inner = self._network.circuit_model, placed(chunk.inner, self._device)

        def logits_of(some: slice) -> Tensor:
            nodes = inner[some]
            return model.logits(self._stack.ln_f(x[nodes]), tokens[nodes]).float()

        size = max(self._most_logits // self._config.vocab_size, 1)
        return tree_losses(chunk, tokens, logits_of, size)
