"""The network as it is trained on a CPU: products of linear layers in bfloat16, all else float32.

`for_training` puts other modules in the place of some, over the same parameters. Products of
float32 numbers rounded to bfloat16 take less than half the time on a processor that has
instructions for them (and several times as long on others). Attention computes with the entries
alone that activation sparsity keeps, and the gradient of a norm takes one pass; both compute what
the product's do, up to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn

from atlas_assets.models.circuitgpt import CircuitGPTForCausalLM
from atlas_assets.models.circuitgpt_layers import Attention, RMSNorm
from tools.fused_norm import rms_norm
from tools.sparse_attention import attend


def for_training(network: CircuitGPTForCausalLM, products: torch.dtype) -> CircuitGPTForCausalLM:
    """Replace modules of a float32 network by their forms here, in place; its parameters stay."""
    forms = {nn.Linear: _Linear, Attention: _Attention, RMSNorm: _RMSNorm}
    for module in network.modules():
        module.__class__ = forms.get(type(module), type(module))
        if isinstance(module, _Linear):
            module.products = products
    return network


class _RMSNorm(RMSNorm):
    """RMSNorm with a gradient in one pass."""

    def forward(self, x: Tensor) -> Tensor:
        """See `RMSNorm.forward`."""
        return rms_norm(x, self.weight) if torch.is_grad_enabled() else super().forward(x)


class _Linear(nn.Linear):
    """A linear layer of float32 numbers whose products are of rounded ones."""

    products: torch.dtype

    def forward(self, x: Tensor) -> Tensor:
        """Return float32 ``[..., rows]`` for float32 ``[..., width]``."""
        product: Tensor = _Product.apply(x, self.weight, self.products)  # type: ignore[no-untyped-call]
        return product if self.bias is None else product + self.bias


class _Product(torch.autograd.Function):
    """x · weightᵀ and its gradients, rounded before each product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, products: torch.dtype) -> Tensor:
        x, weight = x.to(products), weight.to(products)
        ctx.save_for_backward(x, weight)
        return F.linear(x, weight).float()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        grad = grads[0].to(x.dtype)
        to_weight = grad.flatten(0, -2).t() @ x.flatten(0, -2)
        return (grad @ weight).float(), to_weight.float(), None


class _Attention(Attention):
    """Causal attention with a sink, over selected entries alone while it is trained."""

    def forward(self, x: Tensor, visible: Tensor | None) -> Tensor:
        """See `Attention.forward`."""
        if visible is not None or self.attn_imp is None or not torch.is_grad_enabled():
            return super().forward(x, visible)
        qkv, places = self.c_attn(self.sparse_in(x)), (self.sparse_q, self.sparse_k, self.sparse_v)
        return self.finish(attend(qkv, self.attn_imp.sink_logit, self.n_head, places))
