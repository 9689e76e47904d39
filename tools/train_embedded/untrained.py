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
    scales = scales or Scales()
    model = CircuitGPTForCausalLM(config)
    tensors = model.state_dict()
    streams = np.random.SeedSequence(seed).spawn(len(tensors))
    drawn = {
        name: torch.from_numpy(
            _draw(name, tuple(tensors[name].shape), np.random.default_rng(stream), scales)
        ).float()
        for name, stream in zip(sorted(tensors), streams, strict=True)
    }
    model.load_state_dict(drawn)
    model.tie_weights()
    model.train(False)
    return model


def _draw(name: str, shape: tuple[int, ...], rng: np.random.Generator, scales: Scales) -> Array:
    """One tensor's values; what is not named here starts at zero."""
    kind = ".".join(name.split(".")[-2:])
    if kind.startswith("ln_"):
        return np.ones(shape) if kind.endswith("weight") else np.zeros(shape)
    if name.endswith("mlp.c_proj.weight"):
        return _sparse(shape, rng, scales.density, scales.readout) * _spread(shape, scales)
    if name.endswith("mlp.c_proj.bias"):
        size = scales.readout * scales.readout_bias
        return rng.normal(0.0, size, shape) * _spread((*shape, 1), scales)[:, 0]
    if kind == "lm_head.weight":
        return _sparse(shape, rng, scales.density, scales.logits)
    if kind in ("wte.weight", "wpe.weight"):
        return _sparse(shape, rng, scales.density, math.sqrt(shape[1]))
    if name.endswith(".weight"):
        return _sparse(shape, rng, scales.density, scales.gain)
    return np.zeros(shape)


def _sparse(shape: tuple[int, ...], rng: np.random.Generator, density: float, norm: float) -> Array:
    """Rows of Euclidean norm about ``norm`` with ``density`` of their entries, at least one."""
    rows, width = shape
    entries = max(1, round(density * width))
    matrix = np.zeros(shape)
    places = rng.permuted(np.tile(np.arange(width), (rows, 1)), axis=1)[:, :entries]
    values = rng.normal(0.0, norm / math.sqrt(entries), (rows, entries))
    np.put_along_axis(matrix, places, values, axis=1)
    return matrix


def _spread(shape: tuple[int, ...], scales: Scales) -> Array:
    """A factor per row, log-normal at even quantiles: the same for a weight and its bias."""
    rows = shape[0]
    steps = (np.arange(rows) + 0.5) / rows
    normal = torch.special.ndtri(torch.from_numpy(steps)).numpy()
    factors: Array = np.exp(scales.readout_spread * normal)[:, None]
    return factors
