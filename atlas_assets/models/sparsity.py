"""Activation sparsity: keep the entries of largest magnitude along the last axis.

Training-capable: gradients flow through the entries kept, and the choice itself has none.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def abs_topk(x: Tensor, k: int) -> Tensor:
    """``x`` with all but the ``k`` entries of largest |x| along the last axis set to zero.

    Of equal magnitudes at the k-th place the lowest indices stay (docs/science.md §7 leaves the
    choice open), so the result is the same on every device and in every batch. NaN stays NaN.

    Args:
        x: floating point ``[..., width]``.
        k: entries to keep, 0 ≤ k; k ≥ width keeps all.

    Returns:
        A tensor of the shape and dtype of ``x``.
    """
    if k >= x.shape[-1]:
        return x
    if k == 0:
        return torch.zeros_like(x)
    magnitude = x.detach().abs()
    least, next_below = _around_kth(magnitude, k)
    # Zeros that tie for the last places are zero either way; only other ties need breaking.
    tied = ((least == next_below) & (least > 0)).squeeze(-1)
    first = _first_of_ties(magnitude[tied], least[tied], k) if tied.any() else None
    # In place the comparison yields 0 and 1 in x's own dtype. A product with that is several
    # times faster than masked_fill or where on a CPU, and leaves NaN visible.
    kept = magnitude.ge_(least)
    if first is not None:
        kept[tied] = first
    return x * kept


def _around_kth(magnitude: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k-th and the (k+1)-th largest of ``[..., width]``, each ``[..., 1]``."""
    if magnitude.device.type == "cpu" and magnitude.dtype == torch.float32:
        # The bits of non-negative floats order as integers do, and numpy's vectorised quickselect
        # over integers takes a tenth of torch.topk's time on a CPU (given one rank, not two).
        split = magnitude.shape[-1] - k
        ordered = np.partition(magnitude.view(torch.int32).numpy(), split - 1, axis=-1)
        bits = torch.from_numpy(ordered)
        least = bits[..., split:].amin(dim=-1, keepdim=True)
        next_below = bits[..., split - 1 : split].contiguous()
        return least.view(torch.float32), next_below.view(torch.float32)
    values = torch.topk(magnitude, k + 1, dim=-1).values
    return values[..., k - 1 : k], values[..., k:]


def _first_of_ties(magnitude: Tensor, least: Tensor, k: int) -> Tensor:
    """1 for the k largest, the first of those equal to the k-th, 0 elsewhere."""
    above = magnitude > least
    tied = magnitude == least
    places = k - above.sum(dim=-1, keepdim=True)
    return (above | (tied & (tied.cumsum(dim=-1) <= places))).to(magnitude.dtype)
