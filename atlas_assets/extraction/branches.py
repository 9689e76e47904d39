"""Ablated runs of a circuitgpt, each from the first layer on that its gates change.

Below that layer a run is that of the prompt with all gates open, so a prompt is run so once, and
its runs branch off where the readout of their first layer with a closed gate enters the stream.
Every sum is that of a run of its own, to the bit: rows of a product do not depend on each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from atlas_assets.extraction.batching import placed
from atlas_assets.extraction.losses import mean_losses, targets_of
from atlas_assets.extraction.prompts import IntArray
from atlas_assets.models.circuitgpt_layers import Block
from atlas_assets.models.circuitgpt_network import CircuitGPTNetwork
from atlas_assets.models.loaded import LoadedModel

#: gives a layer's readout ``[runs, tokens, width]`` as gates ``[runs, width]`` let it through
Hold = Callable[[int, Tensor, Tensor], Tensor]


def branching(model: LoadedModel) -> CircuitGPTNetwork | None:
    """Return the network if it is a circuitgpt and what its MLPs give is read, else None."""
    if not isinstance(model.network, CircuitGPTNetwork):
        return None
    blocks = model.network.circuit_model.transformer.h
    read = all(point is block.mlp for point, block in zip(model.points, blocks, strict=True))
    return model.network if read else None


class Branches:
    """Runs batches of prompts with their gates, for the losses.

    Args:
        network: the network, in eval mode.
        hold: how gates let readouts through.
        tokens: tokens that run above a branch at a time, padding included; four times as many run
            below at a time, so that branches of one layer come together.
    """

    def __init__(self, network: CircuitGPTNetwork, hold: Hold, tokens: int) -> None:
        self._model = network.circuit_model
        self._stack = network.circuit_model.transformer
        self._blocks = [cast(Block, module) for module in self._stack.h]
        self._hold = hold
        self._tokens = tokens

    @torch.inference_mode()
    def losses(
        self, ids: IntArray, real: npt.NDArray[np.bool_], gates: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float64]:
        """Return the loss of each run: float64 ``[batch]``, nats per token.

        Args:
            ids: int64 ``[batch, tokens]``, padded on the right; equal rows are run once below
                their branches.
            real: bool ``[batch, tokens]``, false where there is padding.
            gates: bool ``[batch, layers, width]``, false where a readout is held back.
        """
        device = self._model.final_logits_bias.device
        prompts, prompt_of = np.unique(ids, axis=0, return_inverse=True)
        prompt_of = prompt_of.reshape(-1)
        # the first layer that is not open, or one past the last
        opened = np.zeros((len(gates), len(self._blocks) + 1), np.bool_)
        opened[:, :-1] = gates.all(axis=2)
        first = opened.argmin(axis=1)
        targets = targets_of(ids, real)
        found = np.zeros(len(ids))
        above_at_once = max(self._tokens // ids.shape[1], 1)
        for below in _pieces(np.arange(len(prompts)), 4 * above_at_once):
            here = np.isin(prompt_of, below)
            # each layer's branches run before the next layer does, so that nothing else is kept
            for layer, stream, readout in self._trunk(placed(prompts[below], device)):
                (branching,) = np.nonzero(here & (first == layer))
                for some in _pieces(branching, above_at_once):
                    above = placed(gates[some].astype(np.float32), device)
                    rows = placed(prompt_of[some] - below[0], device)
                    x = stream[rows]
                    if readout is not None:
                        x = self._ablated(layer, x, readout[rows], above)
                    given, wanted = placed(ids[some], device), placed(targets[some], device)
                    found[some] = self._losses(x, given, wanted).cpu().numpy()
        return found

    def _trunk(self, ids: Tensor) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        """Yield of each layer the stream after attention and the readout, and the stream at last.

        All gates are open, and readouts go through them all the same, for the bits.
        """
        x, positions = self._stack.embedded(ids)
        opened = torch.ones(1, x.shape[-1], device=x.device)
        for layer, block in enumerate(self._blocks):
            x = block.attended(x, positions, partial(block.attn, visible=None))
            readout = block.readout(x, positions)
            yield layer, x, readout
            x = block.added(x, self._hold(layer, readout, opened))
        yield len(self._blocks), x, None

    def _ablated(self, first: int, x: Tensor, readout: Tensor, gates: Tensor) -> Tensor:
        """Return the stream after the blocks, given it and the readout in the first layer."""
        positions = self._stack.wpe.weight[: x.shape[1]]
        x = self._blocks[first].added(x, self._hold(first, readout, gates[:, first]))
        for layer, block in enumerate(self._blocks[first + 1 :], first + 1):
            x = block.attended(x, positions, partial(block.attn, visible=None))
            x = block.added(x, self._readout(layer, x, positions, gates[:, layer]))
        return x

    def _readout(self, layer: int, x: Tensor, positions: Tensor, gates: Tensor) -> Tensor:
        """Return a layer's readout through gates; where all are closed, the MLP is not asked."""
        (some,) = torch.nonzero(gates.any(dim=1), as_tuple=True)
        if len(some) == len(x):
            return self._hold(layer, self._blocks[layer].readout(x, positions), gates)
        held = self._hold(layer, torch.zeros_like(x), torch.zeros_like(gates))
        if len(some):
            readout = self._blocks[layer].readout(x[some], positions)
            held[some] = self._hold(layer, readout, gates[some])
        return held

    def _losses(self, x: Tensor, ids: Tensor, targets: Tensor) -> Tensor:
        return mean_losses(self._model.logits(self._stack.ln_f(x), ids), targets)


def _pieces(rows: IntArray, size: int) -> Iterator[IntArray]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
