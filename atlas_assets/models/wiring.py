"""The non-zero weights of a network's blocks, as far as they wire one readout to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from atlas_assets.models.circuitgpt_network import CircuitGPTNetwork
from atlas_assets.models.loaded import LoadedModel

Integers = npt.NDArray[np.int64]
#: layer, unit and channel of each non-zero weight, and the weight
NonZero = tuple[Integers, Integers, Integers, npt.NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class BlockWeights:
    """The weights between the units of each layer and the channels of the residual stream.

    The units of a layer are the hidden units of its MLP, then the value channels of its attention.

    Attributes:
        hidden, values: how many units of each kind a layer has.
        reads, writes: the weights with which units read channels, and write into them.
        share: the share of all entries of those matrices that is not zero.
    """

    hidden: int
    values: int
    reads: NonZero
    writes: NonZero
    share: float


def block_weights(model: LoadedModel) -> BlockWeights | None:
    """Return the weights of a circuitgpt's MLPs and of its attention's values.

    It is ``None`` of another family, and where something else is read than what the MLPs give.
    """
    network = model.network
    if not isinstance(network, CircuitGPTNetwork):
        return None
    width = model.width
    blocks: list[Any] = list(network.circuit_model.transformer.h)
    if any(point is not block.mlp for point, block in zip(model.points, blocks, strict=True)):
        return None
    reads: list[tuple[Tensor, Tensor]] = []
    writes: list[tuple[Tensor, Tensor]] = []
    for block in blocks:
        attn, mlp = block.attn, block.mlp
        # queries, keys, values; after the channels come those of concatenated positions
        values = attn.c_attn.weight.chunk(3)[2]
        reads.append((mlp.c_fc.weight[:, :width], values[:, :width]))
        writes.append((mlp.c_proj.weight.t(), attn.c_proj.weight.t()))
    hidden, n_values = (len(matrix) for matrix in reads[0])
    read, written = _non_zero(reads), _non_zero(writes)
    total = 2 * len(blocks) * (hidden + n_values) * width
    return BlockWeights(hidden, n_values, read, written, (len(read[3]) + len(written[3])) / total)


def _non_zero(matrices: list[tuple[Tensor, Tensor]]) -> NonZero:
    """Return the non-zero entries of each layer's matrices ``[units, channels]``."""
    parts = []
    for layer, of_layer in enumerate(matrices):
        first = 0
        for matrix in of_layer:
            dense = matrix.detach().float().cpu().numpy()
            units, channels = np.nonzero(dense)
            layers = np.full(len(units), layer)
            parts.append((layers, units + first, channels, dense[units, channels]))
            first += len(dense)
    layers, units, channels, weights = map(np.concatenate, zip(*parts, strict=True))
    return layers, units, channels, weights
