"""Attention and norms for training against plain ones in float64, with autograd's gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from atlas_assets.models.sparsity import abs_topk, abs_topk_without_branches
from tools.fused_norm import rms_norm
from tools.sparse_attention import attend


class Place:
    """Keeps so many entries, or all, as `Sparsity` does."""

    def __init__(self, kept: int | None) -> None:
        self.kept = kept

    def __call__(self, x: Tensor, out: Tensor) -> Tensor:
        return out.copy_(x) if self.kept is None else abs_topk(x, self.kept, out)


def naive(qkv: Tensor, sink: Tensor, heads: int, kept: list[int | None]) -> Tensor:
    """One query at a time, with a softmax over the sink and the keys up to its own."""
    parts = []
    for part, k in zip(qkv.chunk(3, -1), kept, strict=True):
        chosen = part if k is None else abs_topk_without_branches(part, k)
        parts.append(chosen.unflatten(-1, (heads, -1)).transpose(1, 2))
    q, k, v = parts
    rows = []
    for i in range(q.shape[2]):
        scores = (q[:, :, i, None] * k[:, :, : i + 1]).sum(-1) / math.sqrt(q.shape[-1])
        alone = sink[None, :, None].expand(len(q), heads, 1)
        weights = torch.cat([alone, scores], -1).softmax(-1)[:, :, 1:]
        rows.append((weights[..., None] * v[:, :, : i + 1]).sum(2))
    return torch.stack(rows, 2).transpose(1, 2).flatten(2)


@pytest.mark.parametrize("kept", [[6, 6, 6], [None, None, None], [6, None, 24]])
@pytest.mark.parametrize("tokens", [1, 31, 32, 45])
def test_attention_and_its_gradients_are_the_plain_ones(
    tokens: int, kept: list[int | None]
) -> None:
    heads, size = 3, 8
    generator = torch.manual_seed(tokens)
    qkv = 2 * torch.randn(2, tokens, 3 * heads * size, generator=generator)
    sink, given = torch.randn(heads, generator=generator), torch.randn(2, tokens, heads * size)
    x, y = qkv.requires_grad_(), sink.requires_grad_()
    found = attend(x, y, heads, [Place(k) for k in kept])
    gradients = torch.autograd.grad(found, [x, y], given)
    exact = [x.detach().double().requires_grad_(), y.detach().double().requires_grad_()]
    expected = naive(exact[0], exact[1], heads, kept)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    for gradient, plain in zip(
        gradients, torch.autograd.grad(expected, exact, given.double()), strict=True
    ):
        torch.testing.assert_close(gradient.double(), plain, rtol=1e-4, atol=1e-5)


def test_where_everything_is_kept_zeros_have_gradients_too() -> None:
    x = torch.zeros(1, 5, 3 * 4, requires_grad=True)
    for kept, flows in ((4, True), (2, False)):
        found = attend(x, torch.zeros(1), 1, [Place(kept)] * 3)
        (gradient,) = torch.autograd.grad(found.sum(), x)
        assert bool(gradient.any()) is flows


def test_scores_of_any_size_give_weights() -> None:
    """Far below the largest, a weight is as good as zero; NaN is not hidden."""
    qkv = torch.randn(1, 40, 3 * 4, generator=torch.manual_seed(0)) * 100
    places = [Place(None)] * 3
    found = attend(qkv, torch.zeros(1), 1, places)
    expected = naive(qkv.double(), torch.zeros(1).double(), 1, [None] * 3)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-2)
    qkv[0, 5, 1] = torch.nan
    found = attend(qkv, torch.zeros(1), 1, places)
    assert found[0, 5:].isnan().any(-1).any()
    assert found[0, :5].isfinite().all()


def test_the_norm_and_its_gradients_are_the_plain_ones() -> None:
    generator = torch.manual_seed(0)
    x = torch.randn(3, 50, 20, generator=generator).requires_grad_()
    weight = torch.randn(20, generator=generator).requires_grad_()
    given = torch.randn(3, 50, 20, generator=generator)
    found = rms_norm(x, weight)
    gradients = torch.autograd.grad(found, [x, weight], given)
    exact = [part.detach().double().requires_grad_() for part in (x, weight)]
    mean = exact[0].square().mean(-1, keepdim=True)
    expected = exact[0] / (mean + torch.finfo(torch.float32).eps).sqrt() * exact[1]
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
    for gradient, plain in zip(
        gradients, torch.autograd.grad(expected, exact, given.double()), strict=True
    ):
        torch.testing.assert_close(gradient.double(), plain, rtol=1e-4, atol=1e-5)
