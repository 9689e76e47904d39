"""Muon (Jordan et al. 2024): momentum made orthogonal, for the matrices inside the blocks.

The update of a matrix is its momentum with all singular values brought near 1 by five
Newton-Schulz iterations, scaled so that the root mean square of its entries is what AdamW's would
be (Liu et al. 2025, arXiv:2502.16982), and one learning rate serves both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

#: coefficients of the iteration x ← a x + b (x xᵀ) x + c (x xᵀ)² x
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
#: root mean square of an update's entries at learning rate 1
_SIZE = 0.2


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, made orthogonal, with decoupled weight decay.

    Args:
        matrices: ``[rows, width]``, or groups of them with ``parts``: into how many matrices, one
            below the other, each is to be cut, as query, key and value are.
        weight_decay: per unit of learning rate.
        momentum: decay rate of the mean gradient.
    """

    def __init__(
        self, matrices: Iterable[Any], *, weight_decay: float, momentum: float = 0.95
    ) -> None:
        defaults = {"lr": 0.0, "decay": weight_decay, "momentum": momentum, "parts": 1}
        super().__init__(matrices, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take one step; ``closure`` is not called."""
        del closure
        for group in self.param_groups:
            for matrix in group["params"]:
                mean = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
                mean.lerp_(matrix.grad, 1 - group["momentum"])
                update = matrix.grad.lerp(mean, group["momentum"])
                matrix.mul_(1 - group["lr"] * group["decay"])
                matrix.add_(_orthogonal(update, group["parts"]), alpha=-group["lr"])


def _orthogonal(update: Tensor, parts: int) -> Tensor:
    """Return the update of ``[rows, width]``, part by part, of the size that AdamW's has."""
    rows, width = update.shape
    x = update.view(parts, rows // parts, width)
    turned = x.shape[-2] > x.shape[-1]
    x = (x.mT if turned else x).bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    x = (x.mT if turned else x).float()
    size: float = _SIZE * max(x.shape[-2:]) ** 0.5
    scaled: Tensor = x.mul_(size).reshape(rows, width)
    return scaled
