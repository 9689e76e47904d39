"""Stores large matrices that are mostly zeros in a packed layout.

Which layout a matrix runs in decides how its sums are rounded, so the choice follows from the
matrix alone, by a fixed rule, and never from a timing: it is the same on every machine and day.
"""

from __future__ import annotations

import hashlib
import logging

import torch
from torch import nn

from atlas_assets.models.sparse_linear import SparseLinear

#: largest share of entries that are not zero, and least number of entries, of a packed matrix;
#: within both, no network was slower packed (docs/performance.md), while denser matrices gain
#: little and transposing uses up the gain of small ones
MOST_DENSE = 0.1
LEAST_ENTRIES = 2**16
#: precisions that run packed, on a CPU: packed bfloat16 was slower than dense on a CPU with matrix
#: instructions, float64 gained nothing at 10% of a large matrix, and no GPU was measured
PACKED_DTYPES = (torch.float32, torch.float16)
#: part of every description: raise it when a layout's arithmetic changes
LAYOUT = "packed-1"
DENSE = "dense"

_log = logging.getLogger(__name__)


def accelerate(network: nn.Module) -> str:
    """Replace the linear layers that are large and mostly zeros by `SparseLinear`.

    The network, on its device and in its final precision, can then no longer be trained. Results
    change by the order of float sums alone.

    Returns:
        ``dense``, or the layout with the number of matrices and a digest of their names.
    """
    layers = {name: m for name, m in network.named_modules() if type(m) is nn.Linear}
    chosen = [name for name, layer in layers.items() if is_packed(layer.weight)]
    for name in chosen:
        parent, _, own = name.rpartition(".")
        setattr(network.get_submodule(parent), own, SparseLinear(layers[name]))
    _log.info("%d of %d matrices run without their zeros", len(chosen), len(layers))
    if not chosen:
        return DENSE
    names = hashlib.sha256("\n".join(chosen).encode())
    return f"{LAYOUT}: {len(chosen)} of {len(layers)} matrices, {names.hexdigest()[:12]}"


def is_packed(weight: torch.Tensor) -> bool:
    """Tell whether a weight matrix runs packed: it is large, mostly zeros, and on a CPU."""
    if weight.device.type != "cpu" or weight.dtype not in PACKED_DTYPES:
        return False
    entries = weight.numel()
    return entries >= LEAST_ENTRIES and int(torch.count_nonzero(weight)) <= MOST_DENSE * entries
