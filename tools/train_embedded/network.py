"""The network as it is trained on a CPU: products in bfloat16, all else as the product computes.

`for_training` puts other modules in the place of the linear layers and of attention, over the same
parameters. Products of float32 numbers rounded to bfloat16 take less than half the time on a
processor that has instructions for them (and several times as long on others), and short sequences
are attended to faster by plain products than by the fused kernel. All else stays float32.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn

from atlas_assets.models.circuitgpt import CircuitGPTForCausalLM
from atlas_assets.models.circuitgpt_layers import Attention


def for_training(network: CircuitGPTForCausalLM, products: torch.dtype) -> CircuitGPTForCausalLM:
    """Replace the products of a float32 network with sinks, in place; its parameters stay."""
    for module in network.modules():
        if type(module) in (nn.Linear, Attention):
            module.__class__ = _Linear if isinstance(module, nn.Linear) else _Attention
        if isinstance(module, _Linear | _Attention):
            module.products = products
    return network


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
    """Causal attention with a sink, for sequences of a few hundred tokens."""

    products: torch.dtype

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None) -> Tensor:
        if visible is not None or self.attn_imp is None or not torch.is_grad_enabled():
            return super()._attend(q, k, v, visible)
        sink = self.attn_imp.sink_logit
        heads: Tensor = _Attend.apply(q, k, v, sink, self.products)  # type: ignore[no-untyped-call]
        return heads


class _Attend(torch.autograd.Function):
    """Softmax of q · kᵀ / √d over earlier keys and the sink, times v; its gradients.

    The sink is the first key and value, both zero, and its logit is in the bias.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, sink: Tensor, to: torch.dtype) -> Tensor:
        batch, heads, tokens, width = q.shape
        q = (q * (1 / math.sqrt(width))).to(to).reshape(-1, tokens, width)
        k, v = (F.pad(part.to(to), (0, 0, 1, 0)).flatten(0, 1) for part in (k, v))
        bias = q.new_full((tokens, tokens + 1), -torch.inf, dtype=torch.float32).triu(2)
        bias = bias.repeat(heads, 1, 1)
        bias[:, :, 0] = sink[:, None]
        scores = torch.bmm(q, k.transpose(1, 2)).float().view(batch, heads, tokens, tokens + 1)
        weights = scores.add_(bias).softmax(-1).to(to).flatten(0, 1)
        ctx.save_for_backward(q, k, v, weights)
        return torch.bmm(weights, v).float().view(batch, heads, tokens, width)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights = ctx.saved_tensors
        batch, heads, tokens, width = grads[0].shape
        grad = grads[0].to(q.dtype).reshape(-1, tokens, width)
        to_weights = torch.bmm(grad, v.transpose(1, 2))
        to_v = torch.bmm(weights.transpose(1, 2), grad)
        chosen = weights.float()
        towards = to_weights.float()
        towards -= (towards * chosen).sum(-1, keepdim=True)
        scores = towards.mul_(chosen).to(q.dtype)
        to_sink = scores[:, :, 0].float().view(batch, heads, tokens).sum((0, 2))
        to_q = torch.bmm(scores, k).float().mul_(1 / math.sqrt(width))
        to_k = torch.bmm(scores.transpose(1, 2), q)
        shape = (batch, heads, tokens, width)
        to_k, to_v = (part[:, 1:].float().view(shape) for part in (to_k, to_v))
        return to_q.view(shape), to_k, to_v, to_sink, None
