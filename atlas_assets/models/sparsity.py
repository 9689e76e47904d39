"""Activation sparsity: keep the entries of largest magnitude along the last axis.

Training-capable: gradients flow through the entries kept, and the choice itself has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atlas_assets.models import cpu_kernels


@dataclass(frozen=True)
class _Format:
    """How a floating point format's bits order: as integers, but for the sign.

    Attributes:
        bits: the integer dtype of the same size.
        name: numba's name of it.
        nan: bits of infinity plus one; every NaN counts as that.
        spread: see `cpu_kernels.select_largest`; a third of a magnitude's binade per rank and row.
    """

    bits: torch.dtype
    name: str
    nan: int
    spread: float


_FORMATS: Mapping[torch.dtype, _Format] = {
    torch.float16: _Format(torch.int16, "int16", (31 << 10) + 1, 3.0 * 2**10),
    torch.bfloat16: _Format(torch.int16, "int16", (255 << 7) + 1, 3.0 * 2**7),
    torch.float32: _Format(torch.int32, "int32", (255 << 23) + 1, 3.0 * 2**23),
    torch.float64: _Format(torch.int64, "int64", (2047 << 52) + 1, 3.0 * 2**52),
}


def abs_topk(x: Tensor, k: int, out: Tensor | None = None) -> Tensor:
    """``x`` with all but the ``k`` entries of largest |x| along the last axis set to zero.

    Of equal magnitudes at the k-th place the lowest indices stay (docs/science.md §7 leaves the
    choice open), and NaN counts as larger than infinity, so the result is the same on every device
    and in every batch, and a NaN stays visible. Nothing here waits for an accelerator.

    Args:
        x: float16, bfloat16, float32 or float64 ``[..., width]``.
        k: entries to keep, 0 ≤ k; k ≥ width keeps all.
        out: where to write the result, without gradients: ``[rows, width]``, whose rows may lie
            apart; ``x`` itself, or memory of which ``x`` is no part. None: in memory of its own,
            or, where all is kept, nowhere.

    Returns:
        ``out``, or a tensor of the shape and dtype of ``x``.

    Raises:
        ValueError: ``out`` is not like ``x``, or its rows are not contiguous.
    """
    if out is not None:
        _require_like(out, x)
    if 0 < k < x.shape[-1] and x.device.type == "cpu":
        if torch.is_grad_enabled() and x.requires_grad and out is None:
            kept: Tensor = _AbsTopK.apply(x, k)  # type: ignore[no-untyped-call]
            return kept
        return _select(x, k, out)[0]
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
    form = _FORMATS[x.dtype]
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
        out, *ctx.choice = _select(x, k)
        ctx.save_for_backward(x)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return _select_same(x, grads[0], *ctx.choice), None


def _select(
    x: Tensor, k: int, out: Tensor | None = None
) -> tuple[Tensor, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """On a CPU: what is kept, and per row the least magnitude kept and how many equal it."""
    form = _FORMATS[x.dtype]
    flat, stride = _flat(x, form)
    if out is None:
        out = torch.empty(x.shape, dtype=x.dtype)
    written, out_stride = _flat(out, form)
    width = x.shape[-1]
    least = np.empty(x.numel() // width, flat.dtype)
    places = np.empty(len(least), np.int64)
    bits = form.name
    kernel = cpu_kernels.compiled(
        cpu_kernels.select_largest,
        f"void({bits}[::1],int64,int64,int64,float64,{bits}[::1],int64,{bits}[::1],int64[::1],int64)",
    )
    kernel(flat, stride, k, form.nan, form.spread, written, out_stride, least, places, width)
    return out, least, places


def _select_same(
    x: Tensor, payload: Tensor, least: np.ndarray[Any, Any], places: np.ndarray[Any, Any]
) -> Tensor:
    form = _FORMATS[x.dtype]
    flat, stride = _flat(x, form)
    out = torch.empty(x.shape, dtype=x.dtype)
    bits = form.name
    kernel = cpu_kernels.compiled(
        cpu_kernels.select_same,
        f"void({bits}[::1],int64,int64,{bits}[:,::1],{bits}[:,::1],{bits}[::1],int64[::1])",
    )
    kernel(
        flat, stride, form.nan, _bits(payload.contiguous(), form), _bits(out, form), least, places
    )
    return out


def _bits(x: Tensor, form: _Format) -> np.ndarray[Any, Any]:
    """A contiguous tensor's bits as numpy's ``[rows, width]``, sharing its memory."""
    array: np.ndarray[Any, Any] = x.detach().view(form.bits).numpy().reshape(-1, x.shape[-1])
    return array


def _flat(x: Tensor, form: _Format) -> tuple[np.ndarray[Any, Any], int]:
    """The bits of ``[..., width]`` as one axis on which rows lie a fixed distance apart.

    The parts of a chunked tensor are read where they lie.
    """
    rows = x.detach().view(form.bits).reshape(-1, x.shape[-1])  # a view where that is possible
    if rows.stride(1) != 1 or rows.stride(0) < rows.shape[1]:
        rows = rows.contiguous()
    stride = rows.stride(0)
    length = (len(rows) - 1) * stride + rows.shape[1] if len(rows) else 0
    return rows.as_strided((length,), (1,)).numpy(), stride
