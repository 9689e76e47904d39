"""A linear layer whose weight is mostly zeros, as fast as its few entries allow.

For a slab of tokens, transposed to ``[in_features, tokens]``, output feature o is the sum of those
rows that weight row o names, each times its weight: what torch calls a weighted embedding bag. Its
CPU kernel keeps the sums in registers and was measured 2 to 4 times as fast as a CSR product, and a
token's result does not depend on the tokens beside it, to the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from atlas_assets.errors import ModelError
from atlas_assets.models import cpu_kernels

#: entries in and out of a slab of tokens on a CPU: as many as leave it in a core's cache
CPU_SLAB_ENTRIES = 2**18
#: bounds on its tokens, a multiple of the least
LEAST_TOKENS, MOST_TOKENS = 32, 256
#: an accelerator wants large pieces
ACCELERATOR_SLAB = 2**14
_PAIR = 2


class SparseLinear(nn.Module):
    """``x · weightᵀ + bias`` like `torch.nn.Linear`, for inference, without the weight's zeros.

    The result is that of the dense layer up to the order of float sums, for finite x: an infinite
    or NaN entry of x does not reach the outputs that its weights are zero for.

    ``state_dict`` holds the dense ``weight`` and the ``bias``, so that a model saves as it was
    loaded; loading one packs it anew.

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
        for name, packed in self._pack(linear.weight.detach(), linear.bias).items():
            self.register_buffer(name, packed, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., in_features]`` to ``[..., out_features]``.

        Raises:
            ModelError: a gradient is asked for.
        """
        if x.requires_grad and torch.is_grad_enabled():
            raise ModelError(
                "a packed layer cannot be trained",
                where=f"SparseLinear({self.in_features}, {self.out_features})",
                expected="inference (torch.inference_mode or torch.no_grad)",
                found="an input that requires a gradient",
                remedy="train the model as transformers loads it, before it is accelerated",
            )
        rows = x.reshape(-1, self.in_features)
        out = x.new_empty(len(rows), self.out_features)
        size = self._tokens_at_a_time() if x.device.type == "cpu" else ACCELERATOR_SLAB
        scratch = x.new_empty((self.in_features + self.has_bias) * min(size, len(rows)))
        for first in range(0, len(rows), size):
            self._slab(rows[first : first + size], scratch, out[first : first + size])
        return out.view(*x.shape[:-1], self.out_features)

    @property
    def weight(self) -> Tensor:
        """The dense weight ``[out_features, in_features]``, unpacked at each call."""
        return self._unpack()[:, : self.in_features].contiguous()

    @property
    def bias(self) -> Tensor | None:
        """``[out_features]``."""
        return self._unpack()[:, self.in_features].contiguous() if self.has_bias else None

    def extra_repr(self) -> str:
        """Sizes and density, for printing a model."""
        stored = self.values.numel() - self.has_bias * self.out_features
        density = stored / (self.in_features * self.out_features)
        return f"{self.in_features}, {self.out_features}, bias={self.has_bias}, {density=:.3g}"

    def _tokens_at_a_time(self) -> int:
        fitting = CPU_SLAB_ENTRIES // (self.in_features + self.out_features)
        return min(max(fitting // LEAST_TOKENS, 1) * LEAST_TOKENS, MOST_TOKENS)

    def _slab(self, rows: Tensor, scratch: Tensor, out: Tensor) -> None:
        tokens = len(rows)
        features = scratch[: (self.in_features + self.has_bias) * tokens].view(-1, tokens)
        _transpose(rows, features[: self.in_features])
        if self.has_bias:  # one more feature that is always 1
            features[self.in_features] = 1
        sums = torch.embedding_bag(
            features,
            self.columns,
            self.offsets,
            per_sample_weights=self.values,
            include_last_offset=True,
        )[0]
        _transpose(sums, out)

    def _pack(self, weight: Tensor, bias: Tensor | None) -> dict[str, Tensor]:
        """Entries row after row, columns ascending, the bias behind each row's last."""
        full = weight if bias is None else torch.cat([weight, bias.detach()[:, None]], dim=1)
        stored = full != 0
        if bias is not None:
            stored[:, -1] = True
        rows, columns = stored.nonzero(as_tuple=True)
        offsets = torch.zeros(len(full) + 1, dtype=torch.int32, device=full.device)
        offsets[1:] = stored.sum(dim=1).cumsum(dim=0)
        return {
            "values": full[rows, columns].contiguous(),
            "columns": columns.int(),
            "offsets": offsets,
        }

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

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        _local_metadata: dict[str, Any],
        _strict: bool,
        missing_keys: list[str],
        _unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        shapes: dict[str, tuple[int, ...]] = {"weight": (self.out_features, self.in_features)}
        if self.has_bias:
            shapes["bias"] = (self.out_features,)
        tensors = {name: state_dict.get(prefix + name) for name in shapes}
        missing_keys += [prefix + name for name, tensor in tensors.items() if tensor is None]
        for name, tensor in tensors.items():
            if tensor is not None and tensor.shape != shapes[name]:
                error_msgs.append(
                    f"{prefix}{name}: expected shape {shapes[name]}, found {tuple(tensor.shape)}"
                )
        given = [tensor.to(self.values) for tensor in tensors.values() if tensor is not None]
        if len(given) < len(shapes) or error_msgs:
            return
        for name, packed in self._pack(given[0], given[1] if self.has_bias else None).items():
            setattr(self, name, packed)


def _transpose(x: Tensor, out: Tensor) -> None:
    """Write ``[a, b]`` to the contiguous ``[b, a]``."""
    pairs = x.dtype == torch.float32 and x.device.type == "cpu" and x.stride(1) == 1
    places = (x.storage_offset(), x.stride(0), out.storage_offset(), *x.shape)
    if not pairs or any(place % _PAIR for place in places):
        out.copy_(x.t())
        return
    words = x.view(torch.int64)
    length = (len(words) - 1) * words.stride(0) + words.shape[1]
    flat = words.as_strided((length,), (1,)).numpy().view(np.uint64)
    kernel = cpu_kernels.compiled(
        cpu_kernels.transpose_pairs, "void(uint64[::1],int64,uint64[:,::1])"
    )
    kernel(flat, words.stride(0), out.view(torch.int64).numpy().view(np.uint64))
