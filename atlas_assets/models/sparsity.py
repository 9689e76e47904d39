"""Activation sparsity: keep the entries of largest magnitude along the last axis.

Training-capable: gradients flow through the entries kept that are not zero, and the choice itself
has none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from atlas_assets.models import cpu_kernels

_Array = npt.NDArray[Any]
_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class _Format:
    """How a floating point format's bits order: as integers, but for the sign.

    Attributes:
        bits: the integer dtype of the same size.
        nan: bits of infinity plus one; every NaN counts as that.
        spread: see `cpu_kernels.select_largest`; a third of a magnitude's binade per rank and row.
    """

    bits: torch.dtype
    nan: int
    spread: float


@cache
def _format(dtype: torch.dtype) -> _Format:
    bits = _BITS[dtype.itemsize]
    infinity = torch.tensor(math.inf, dtype=dtype).view(bits)
    return _Format(bits, int(infinity) + 1, 3 / torch.finfo(dtype).eps)


def abs_topk(x: Tensor, k: int, out: Tensor | None = None) -> Tensor:
    """Set all but the ``k`` entries of largest |x| along the last axis to zero.

    Of equal magnitudes at the k-th place the lowest indices stay (docs/science.md §7 leaves the
    choice open), and NaN counts as larger than infinity, so the result is the same on every device
    and in every batch, and a NaN stays visible. Nothing here waits for an accelerator.

    Args:
        x: float16, bfloat16, float32 or float64 ``[..., width]``.
        k: entries to keep, 0 ≤ k; k ≥ width keeps all.
        out: where to write the result, without gradients: ``x`` itself, or ``[rows, width]`` in
            memory that does not overlap ``x``, with rows at any distance. None allocates memory,
            or returns ``x`` where everything is kept. ValueError where it is not like ``x``.

    Returns:
        ``out``, or a tensor of the shape and dtype of ``x``.
    """
    if out is not None:
        _require_like(out, x)
    if 0 < k < x.shape[-1] and x.device.type == "cpu":
        if torch.is_grad_enabled() and x.requires_grad and out is None:
            kept: Tensor = _AbsTopK.apply(x, k)  # type: ignore[no-untyped-call]
            return kept
        return _select(x, k, out)
    if k >= x.shape[-1]:
        result = x
    elif k == 0:
        result = torch.zeros_like(x)
    else:
        result = abs_topk_without_branches(x, k)
    return result if out is None else out.copy_(result.detach())


def _require_like(out: Tensor, x: Tensor) -> None:
    alike = (out.shape, out.dtype, out.device) == (x.shape, x.dtype, x.device)
    if not (alike and out.dim() == 2 and out.stride(1) == 1 <= out.shape[1] <= out.stride(0)):
        found = f"{out.dtype} {tuple(out.shape)} on {out.device}, strides {out.stride()}"
        raise ValueError(f"out is not like x, in rows: {found}")


def abs_topk_without_branches(x: Tensor, k: int) -> Tensor:
    """`abs_topk` for 0 < k < width as tensor operations alone, none of which looks at a value.

    This is what accelerators run: the host queues it and goes on.
    """
    form = _format(x.dtype)
    bits = x.detach().view(form.bits).bitwise_and(torch.iinfo(form.bits).max).clamp_(max=form.nan)
    least = torch.topk(bits, k, dim=-1, sorted=False).values.amin(dim=-1, keepdim=True)
    above, tied = bits > least, bits == least
    places = k - above.sum(dim=-1, keepdim=True)
    kept = above | (tied & (tied.cumsum(dim=-1) <= places))
    return torch.where(kept, x, 0)


class _AbsTopK(torch.autograd.Function):
    """The compiled kernel with its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, k: int) -> Tensor:
        out = _select(x, k)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (out,) = ctx.saved_tensors
        return _pass(out, grads[0]), None


def _select(x: Tensor, k: int, out: Tensor | None = None) -> Tensor:
    """`abs_topk` for 0 < k < width on a CPU."""
    form = _format(x.dtype)
    flat, stride = _flat(x, form)
    if out is None:
        out = torch.empty(x.shape, dtype=x.dtype)
    written, out_stride = _flat(out, form)
    width = x.shape[-1]
    row = f"{flat.dtype}[::1]"
    kernel = cpu_kernels.compiled(
        cpu_kernels.select_largest,
        f"void({row},int64,int64,int64,int64,int64,float64,{row},int64)",
    )
    rows = x.numel() // width
    kernel(flat, rows, width, stride, k, form.nan, form.spread, written, out_stride)
    return out


def _pass(selected: Tensor, gradient: Tensor) -> Tensor:
    """Return ``gradient`` where ``selected``, of its shape, is not zero, and zero elsewhere."""
    form = _format(selected.dtype)
    out = torch.empty(selected.shape, dtype=selected.dtype)
    selected, gradient, bits = (
        part.view(form.bits).reshape(-1) for part in (selected, gradient, out)
    )
    row = f"{bits.numpy().dtype}[::1]"
    kernel = cpu_kernels.compiled(cpu_kernels.pass_where_selected, f"void({row},{row},{row})")
    kernel(selected.numpy(), gradient.numpy(), bits.numpy())
    return out


def _flat(x: Tensor, form: _Format) -> tuple[_Array, int]:
    """The bits of ``[..., width]`` as one axis on which rows lie a fixed distance apart.

    The parts of a chunked tensor are read where they lie.
    """
    rows = x.detach().view(form.bits).reshape(-1, x.shape[-1])  # a view where that is possible
    if rows.stride(1) != 1 or rows.stride(0) < rows.shape[1]:
        rows = rows.contiguous()
    stride = rows.stride(0)
    length = (len(rows) - 1) * stride + rows.shape[1] if len(rows) else 0
    return rows.as_strided((length,), (1,)).numpy(), stride
