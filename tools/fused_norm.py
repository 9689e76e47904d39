"""RMSNorm for training on a CPU: value and gradient in one compiled pass over the rows each.

Autograd takes the gradient of torch's own apart into about ten passes. Compiled by numba at their
first use in a process.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numba import njit
from torch import Tensor

Array = npt.NDArray[Any]
#: sums may be taken in the order that suits the vector registers, and products fused into them
_compile = njit(nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """Return x / √(mean x² + float32's epsilon) · weight along the last axis, for float32.

    ``x`` is ``[..., width]`` on the CPU, like the result; ``weight`` is ``[width]``.
    """
    normed: Tensor = _RMSNorm.apply(x, weight)  # type: ignore[no-untyped-call]
    return normed


class _RMSNorm(torch.autograd.Function):
    """`rms_norm` with its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        x = x.contiguous()
        out, scales = torch.empty_like(x), x.new_empty(x.shape[:-1].numel())
        _normalise(_rows(x), weight.detach().numpy(), scales.numpy(), _rows(out))
        ctx.save_for_backward(x, weight, scales)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        x, weight, scales = ctx.saved_tensors
        to_x, to_weight = torch.empty_like(x), torch.zeros_like(weight)
        kept = _rows(x), weight.detach().numpy(), scales.numpy()
        _differentiate(*kept, _rows(grads[0].contiguous()), _rows(to_x), to_weight.numpy())
        return to_x, to_weight


def _rows(x: Tensor) -> Array:
    rows: Array = x.detach().view(-1, x.shape[-1]).numpy()
    return rows


@_compile
def _normalise(x: Array, weight: Array, scales: Array, out: Array) -> None:
    """Write ``out`` ``[rows, width]``, and in ``scales`` what each row was multiplied by."""
    rows, width = x.shape
    for r in range(rows):
        source, target, squares = x[r], out[r], np.float32(0)
        for i in range(width):
            squares += source[i] * source[i]
        scale = np.float32(1 / np.sqrt(squares / width + np.finfo(np.float32).eps))
        scales[r] = scale
        for i in range(width):
            target[i] = source[i] * scale * weight[i]


@_compile
def _differentiate(
    x: Array, weight: Array, scales: Array, given: Array, to_x: Array, to_weight: Array
) -> None:
    """Write ``to_x`` ``[rows, width]`` and add to ``to_weight``; ``given`` is the output's."""
    rows, width = x.shape
    for r in range(rows):
        source, gradient, target, scale = x[r], given[r], to_x[r], scales[r]
        along = np.float32(0)
        for i in range(width):
            along += source[i] * gradient[i] * weight[i]
        back = np.float32(along * scale * scale / width)
        for i in range(width):
            target[i] = scale * (gradient[i] * weight[i] - source[i] * back)
        for i in range(width):
            to_weight[i] += gradient[i] * (source[i] * scale)
