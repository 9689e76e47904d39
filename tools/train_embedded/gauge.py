"""The scale of the residual stream, which the loss does not see and thresholds on readouts do.

Every block and the unembedding read the residual stream through an RMSNorm, so that multiplying
all that is written to it by one factor changes the logits by rounding alone. Readouts change by
that factor, and masks compare them with fixed ε. The scale training happens to end with is
therefore set by a rule: the root mean square of the readouts that are not zero is 1, to the nearest
power of two.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from atlas_assets.errors import ModelError, expect
from atlas_assets.models.circuitgpt import CircuitGPTForCausalLM
from atlas_assets.models.mlps import find_mlps
from tools.train_embedded.data import IntArray

#: sequences of one call of the network
_SEQUENCES_PER_CALL = 4
#: what writes to the residual stream
_WRITERS = ("attn.c_proj.weight", "attn.c_proj.bias", "mlp.c_proj.weight", "mlp.c_proj.bias")


def set_residual_scale(network: CircuitGPTForCausalLM, rows: IntArray) -> float:
    """Bring the readouts to a root mean square of about 1, in place, which the logits do not see.

    A power of two is exact in floating point; only the norms' epsilon weighs more or less than
    before.

    Args:
        network: with RMSNorm and an identity residual activation.
        rows: int64 ``[sequences, tokens]`` on which readouts are measured.

    Returns:
        The factor, a power of two.

    Raises:
        ModelError: the network has other norms or adds positions to the stream, or no readout is
            different from zero.
    """
    config = network.config
    expect(
        config.rms_norm and config.d_pos_emb is not None and not config.tied_unembed,
        ModelError,
        "the residual stream of this network has no free scale",
        expected="rms_norm, d_pos_emb and an unembedding of its own",
        found=f"rms_norm {config.rms_norm}, d_pos_emb {config.d_pos_emb}, "
        f"tied_unembed {config.tied_unembed}",
        remedy="correct the recipe's options",
    )
    factor = 2.0 ** -round(math.log2(readout_size(network, rows)))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(_WRITERS) or name.endswith("transformer.wte.weight"):
                parameter.mul_(factor)
    return factor


def readout_size(network: CircuitGPTForCausalLM, rows: IntArray) -> float:
    """Return the root mean square of all readouts that are not zero, over layers and positions.

    Raises:
        ModelError: every readout is zero.
    """
    squares, count = 0.0, 0

    def add(_module: object, _inputs: object, readout: torch.Tensor) -> None:
        nonlocal squares, count
        squares += float(readout.double().square().sum())
        count += int(readout.count_nonzero())

    hooks = [
        network.get_submodule(name).register_forward_hook(add) for (name,) in find_mlps(network)
    ]
    try:
        with torch.inference_mode():
            for part in np.array_split(rows, math.ceil(len(rows) / _SEQUENCES_PER_CALL)):
                network(torch.from_numpy(part))
    finally:
        for hook in hooks:
            hook.remove()
    expect(
        squares > 0,
        ModelError,
        "no readout of the trained network differs from zero",
        expected="readouts to bring to a root mean square of 1",
        found="zeros",
        remedy="train with another recipe",
    )
    return math.sqrt(squares / count)
