"""Puts the matrices of a network that are mostly zeros into a packed layout, where that pays."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from atlas_assets.models.kernel_costs import KernelCosts, kernel_costs
from atlas_assets.models.sparse_linear import SparseLinear

#: no matrix denser than this was seen to gain
MOST_DENSE = 0.25
#: a packed matrix must be predicted to be this many times as fast as the dense one
WORTHWHILE = 1.25
#: part of every description: raise it when a layout's arithmetic changes
LAYOUT = "packed-1"
DENSE = "dense"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Candidate:
    """A linear layer that is sparse enough to ask about."""

    name: str
    layer: nn.Linear
    stored: int

    def pays(self, costs: KernelCosts) -> bool:
        shape = (self.layer.out_features, self.layer.in_features)
        packed = costs.of_packed(*shape, self.stored)
        return packed * WORTHWHILE < costs.of_dense(*shape)


def accelerate(
    network: nn.Module, *, costs: KernelCosts | None = None, folder: Path | None = None
) -> str:
    """Replace linear layers by `SparseLinear` where a measurement on this machine says it pays.

    The network can then no longer be trained. Results change by the order of float sums alone; the
    choice is the same in every run on a machine, and the description returned names it.

    Args:
        network: on its device, in its final precision.
        costs: of this machine; None: `kernel_costs`, and only if some matrix is sparse enough.
        folder: where those are kept.

    Returns:
        ``dense``, or the layout with the number of matrices and a digest of their names.
    """
    layers = [(name, m) for name, m in network.named_modules() if type(m) is nn.Linear]
    stored = {name: int(torch.count_nonzero(layer.weight)) for name, layer in layers}
    candidates = [
        _Candidate(name, layer, stored[name])
        for name, layer in layers
        if stored[name] <= MOST_DENSE * layer.weight.numel()
    ]
    if not candidates:
        return DENSE
    if costs is None:
        weight = candidates[0].layer.weight
        costs = kernel_costs(weight.device, weight.dtype, folder)
    chosen = [candidate for candidate in candidates if candidate.pays(costs)]
    for candidate in chosen:
        parent, _, own = candidate.name.rpartition(".")
        setattr(network.get_submodule(parent), own, SparseLinear(candidate.layer))
    _log.info("%d of %d matrices run without their zeros", len(chosen), len(layers))
    if not chosen:
        return DENSE
    names = hashlib.sha256("\n".join(candidate.name for candidate in chosen).encode())
    return f"{LAYOUT}: {len(chosen)} of {len(layers)} matrices, {names.hexdigest()[:12]}"
