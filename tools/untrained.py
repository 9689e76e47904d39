"""Untrained circuitgpt weights that are sparse like the family's and whose readouts are alive.

Every row of every matrix keeps the same number of entries, so no neuron is dead from the start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from atlas_assets.models.circuitgpt import CircuitGPTForCausalLM
from atlas_assets.models.circuitgpt_config import CircuitGPTConfig

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scales:
    """How large untrained weights are; the defaults are sparse like the family's.

    Attributes:
        density: share of a matrix's entries that are not zero.
        gain: root mean square of a linear layer's output for an input of root mean square 1.
        readout: the same of the MLP's last projection, whose output is the readout.
        readout_spread: standard deviation of the logarithm of that scale over the neurons, so that
            readouts straddle the published ε of 0.001, 0.1 and 0.5.
        readout_bias: standard deviation of its bias, relative to the neuron's scale.
        logits: root mean square of the logits.
    """

    density: float = 0.05
    gain: float = 1.0
    readout: float = 0.08
    readout_spread: float = 1.2
    readout_bias: float = 0.5
    logits: float = 0.3


def untrained(
    config: CircuitGPTConfig, seed: int, scales: Scales | None = None
) -> CircuitGPTForCausalLM:
    """Make a circuitgpt with fresh weights, float32, in eval mode.

    Args:
        config: sizes and options.
        seed: of numpy's PCG64; each tensor draws from a stream of its own, in the order of names.
        scales: sizes of the weights.
    """
    model = CircuitGPTForCausalLM(config)
    tensors = model.state_dict()
    streams = np.random.SeedSequence(seed).spawn(len(tensors))
    stream_of = dict(zip(sorted(tensors), streams, strict=True))
    for name, tensor in tensors.items():
        rng = np.random.default_rng(stream_of[name])
        tensor.copy_(torch.from_numpy(_draw(name, tensor.shape, rng, scales or Scales())))
    model.train(False)
    return model


def _draw(name: str, shape: tuple[int, ...], rng: np.random.Generator, scales: Scales) -> Array:
    """One tensor's values; what is not named here starts at zero."""
    rows, width = shape[0], shape[-1]
    # a factor per neuron, log-normal at even quantiles: the same for a weight and its bias
    quantiles = torch.special.ndtri(torch.from_numpy((np.arange(rows) + 0.5) / rows)).numpy()
    factors: Array = np.exp(scales.readout_spread * quantiles)
    if ".ln_" in name:
        return np.full(shape, float(name.endswith("weight")))
    if name.endswith("mlp.c_proj.bias"):
        return rng.normal(0.0, scales.readout * scales.readout_bias, shape) * factors
    if name.endswith("mlp.c_proj.weight"):
        return _sparse(rows, width, rng, scales.density, scales.readout) * factors[:, None]
    if name.endswith("lm_head.weight"):
        return _sparse(rows, width, rng, scales.density, scales.logits)
    if name.endswith(("wte.weight", "wpe.weight")):
        return _sparse(rows, width, rng, scales.density, math.sqrt(width))
    if name.endswith(".weight"):
        return _sparse(rows, width, rng, scales.density, scales.gain)
    return np.zeros(shape)


def _sparse(rows: int, width: int, rng: np.random.Generator, density: float, norm: float) -> Array:
    """Rows of Euclidean norm about ``norm`` with ``density`` of their entries, at least one."""
    entries = max(1, round(density * width))
    matrix = np.zeros((rows, width))
    places = rng.permuted(np.tile(np.arange(width), (rows, 1)), axis=1)[:, :entries]
    values = rng.normal(0.0, norm / math.sqrt(entries), (rows, entries))
    np.put_along_axis(matrix, places, values, axis=1)
    return matrix
