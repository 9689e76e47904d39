"""A linear layer whose weight is mostly zeros, as fast as its few entries allow.

For a slab of tokens, transposed to ``[in_features, tokens]``, output feature o is the sum of those
rows that weight row o names, each times its weight: what torch calls a weighted embedding bag. Its
CPU kernel keeps the sums in registers and was measured 2 to 4 times as fast as a CSR product, and a
token's result does not depend on the tokens beside it, to the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from atlas_assets.models import cpu_kernels

#: entries in and out of a slab of tokens on a CPU: as many as leave it in a core's cache
CPU_SLAB_ENTRIES = 2**18
#: bounds on its tokens, a multiple of the least
LEAST_TOKENS, MOST_TOKENS = 32, 256
#: an accelerator wants large pieces
ACCELERATOR_SLAB = 2**14
_TRANSPOSE = "void(uint64[::1],int64,int64,uint64[::1],int64,int64,int64,int64)"


class SparseLinear(nn.Module):
    """``x · weightᵀ + bias`` like `torch.nn.Linear`, of a fixed weight, without its zeros.

    The result is that of the dense layer up to the order of float sums, for finite x: an infinite
    or NaN entry of x does not reach the outputs that its weights are zero for.

    ``state_dict`` holds the dense ``weight`` and the ``bias``, so that a model saves as it was
    loaded; it cannot be loaded into.

    Args:
        linear: the layer to take over; it is not changed.
    """

    values: Tensor
    columns: Tensor
    offsets: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.has_bias = linear.bias is not None
        # in a list, so that it is no part of the module's state
        self._transposed: list[SparseLinear] = []
        weight, bias = linear.weight.detach(), linear.bias
        full = weight if bias is None else torch.cat([weight, bias.detach()[:, None]], dim=1)
        # row after row, columns ascending, the bias after the last column of each row
        stored = full != 0
        if bias is not None:
            stored[:, -1] = True
        rows, columns = stored.nonzero(as_tuple=True)
        offsets = torch.zeros(len(full) + 1, dtype=torch.int32, device=full.device)
        offsets[1:] = stored.sum(dim=1).cumsum(dim=0)
        self.register_buffer("values", full[rows, columns].contiguous(), persistent=False)
        self.register_buffer("columns", columns.int(), persistent=False)
        self.register_buffer("offsets", offsets, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply ``x`` ``[..., in_features]`` with the weight: ``[..., out_features]``.

        Gradients flow to ``x``; the weight has none.
        """
        if x.requires_grad and torch.is_grad_enabled():
            product: Tensor = _Product.apply(x, self)  # type: ignore[no-untyped-call]
            return product
        return self._multiply(x)

    @property
    def transposed(self) -> SparseLinear:
        """The layer of the transposed weight without bias, made when it is first asked for."""
        if not self._transposed:
            dense = nn.Linear(self.out_features, self.in_features, bias=False, device="meta")
            dense.weight = nn.Parameter(self.weight.t(), requires_grad=False)
            self._transposed.append(SparseLinear(dense))
        return self._transposed[0]

    def _multiply(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, self.in_features)
        out = x.new_empty(len(rows), self.out_features)
        size = ACCELERATOR_SLAB
        if x.device.type == "cpu":
            fitting = CPU_SLAB_ENTRIES // (self.in_features + self.out_features)
            size = min(max(fitting // LEAST_TOKENS, 1) * LEAST_TOKENS, MOST_TOKENS)
        done = self._by_pairs(rows, out, size) if _pairs_up(rows, out) else 0
        for first in range(done, len(rows), size):
            piece = rows[first : first + size]
            features = x.new_ones(self.in_features + self.has_bias, len(piece))
            features[: self.in_features] = piece.t()
            out[first : first + size] = self._sums(features).t()
        return out.view(*x.shape[:-1], self.out_features)

    @property
    def weight(self) -> Tensor:
        """The dense weight ``[out_features, in_features]``, unpacked again at every access."""
        return self._unpack()[:, : self.in_features].contiguous()

    @property
    def bias(self) -> Tensor | None:
        """The bias ``[out_features]``, or None where the layer has none."""
        return self._unpack()[:, self.in_features].contiguous() if self.has_bias else None

    def _by_pairs(self, rows: Tensor, out: Tensor, size: int) -> int:
        """Multiply as many tokens as make whole pairs, on a CPU, and return their number."""
        transpose = cpu_kernels.compiled(cpu_kernels.transpose_pairs, _TRANSPOSE)
        source, stride = _words(rows), rows.stride(0) // 2
        target, target_stride = _words(out), self.out_features // 2
        many = len(rows) // 2 * 2
        features = rows.new_ones(self.in_features + self.has_bias, min(size, many))
        for first in range(0, many, size):
            tokens = min(size, many - first)
            if tokens < features.shape[1]:
                features = rows.new_ones(len(features), tokens)
            pairs, words = tokens // 2, self.in_features // 2
            transpose(source, first * stride, stride, _words(features), 0, pairs, words, pairs)
            sums = _words(self._sums(features))
            start = first * target_stride
            transpose(sums, 0, pairs, target, start, target_stride, pairs, target_stride)
        return many

    def _sums(self, features: Tensor) -> Tensor:
        """Sum features (and ones for the bias) ``[rows, tokens]`` to ``[out_features, tokens]``."""
        return torch.embedding_bag(
            features,
            self.columns,
            self.offsets,
            per_sample_weights=self.values,
            include_last_offset=True,
        )[0]

    def _unpack(self) -> Tensor:
        full = self.values.new_zeros(self.out_features, self.in_features + self.has_bias)
        counts = self.offsets.diff().long()
        rows = torch.arange(self.out_features, device=full.device).repeat_interleave(counts)
        full[rows, self.columns.long()] = self.values
        return full

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = self.weight
        if self.has_bias:
            destination[f"{prefix}bias"] = self.bias


class _Product(torch.autograd.Function):
    """The product with its gradient, which is the product with the transposed weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: SparseLinear) -> Tensor:
        ctx.layer = layer
        return layer._multiply(x.detach())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return ctx.layer.transposed(grads[0]), None


def _pairs_up(rows: Tensor, out: Tensor) -> bool:
    """Whether two entries side by side can be moved as one word."""
    single = rows.dtype == torch.float32 and rows.device.type == "cpu"
    if not single or rows.stride(1) != 1 or rows.stride(0) < rows.shape[1]:
        return False
    places = (rows.storage_offset(), rows.stride(0), rows.shape[1], out.shape[1])
    return not any(place % 2 for place in places)


def _words(x: Tensor) -> npt.NDArray[np.uint64]:
    """The memory of a matrix from its first entry to its last as 64-bit words."""
    length = (len(x) - 1) * x.stride(0) + x.shape[1] if x.numel() else 0
    return x.as_strided((length,), (1,)).numpy().view(np.uint64)
