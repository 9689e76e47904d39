from __future__ import annotations

import math
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atlas_assets.models.sparsity import abs_topk, abs_topk_without_branches

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INFINITY, NAN = float("inf"), float("nan")
# few distinct magnitudes, so that most rows have ties; denormals of half and single precision
VALUES = [-2.0, -1.0, -0.5, 0.0, -0.0, 0.5, 1.0, 2.0, 1e-40, -1e-40, 6e-8, -6e-8, 3e38, 6e4]
VALUES += [INFINITY, -INFINITY, NAN, -NAN]
# the first call in a process compiles
settings = hypothesis.settings(deadline=None)


@st.composite
def rows(draw: st.DrawFn) -> tuple[list[list[float]], int]:
    width = draw(st.integers(1, 9))
    row = st.lists(st.sampled_from(VALUES), min_size=width, max_size=width)
    return draw(st.lists(row, min_size=1, max_size=4)), draw(st.integers(0, width + 1))


def sorted_out(x: torch.Tensor, k: int) -> torch.Tensor:
    """Keep what a stable sort by falling magnitude puts first, NaN before all."""
    result = torch.zeros_like(x)
    for row, kept in zip(x, result, strict=True):
        size = [INFINITY if math.isnan(v) else abs(v) for v in row.tolist()]
        nan = [math.isnan(v) for v in row.tolist()]
        order = sorted(range(len(size)), key=lambda i: (not nan[i], -size[i], i))
        for index in order[:k]:
            kept[index] = row[index]
    return result


def assert_same(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(rows())
@settings
def test_equals_a_stable_sort_by_magnitude_in_any_precision(
    dtype: torch.dtype, case: tuple[list[list[float]], int]
) -> None:
    x, k = torch.tensor(case[0], dtype=torch.float64).to(dtype), case[1]
    expected = sorted_out(x, k)
    assert_same(abs_topk(x, k), expected)
    if 0 < k < x.shape[-1]:
        assert_same(abs_topk_without_branches(x, k), expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [16, 143, 512])
@pytest.mark.parametrize("shape", ["even", "ragged", "half zero", "constant", "steps"])
def test_wide_rows(dtype: torch.dtype, width: int, shape: str) -> None:
    generator = torch.Generator().manual_seed(width)
    x = torch.randn(20, width, generator=generator)
    if shape == "ragged":  # magnitudes over many binades, and rows unlike their neighbours
        x = x * torch.exp(8 * torch.randn(20, width, generator=generator))
        x[::2] *= 1e-4
    elif shape == "half zero":
        x = x.relu()
    elif shape == "constant":
        x = torch.full_like(x, -0.3)
    elif shape == "steps":
        x = (x * 4).round() / 4
    x = x.to(dtype)
    for k in (1, width // 4, width // 2, width - 1):
        expected = sorted_out(x, k)
        assert_same(abs_topk(x, k), expected)
        assert_same(abs_topk_without_branches(x, k), expected)


def test_leaves_its_input_alone_and_works_on_views() -> None:
    x = torch.randn(3, 5, 12, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    views = [*x.chunk(3, dim=-1), x.transpose(0, 1), x.mT, x[:, ::2, 1:], x[:1].expand(4, 5, 12)]
    views.append(x[:0])
    for view in views:
        assert_same(abs_topk(view, 2), sorted_out(view.flatten(0, 1), 2).view(view.shape))
    assert torch.equal(x, before)


@pytest.mark.parametrize("k", [0, 3, 12, 40])
def test_writes_where_it_is_told_to_if_that_is_like_its_input(k: int) -> None:
    x = torch.randn(5, 24, generator=torch.Generator().manual_seed(0))[:, :12]
    among = torch.full((5, 2, 12), 7.0)
    assert abs_topk(x, k, out=among[:, 1]).data_ptr() == among[:, 1].data_ptr()
    assert_same(among[:, 1], abs_topk(x, k))
    assert (among[:, 0] == 7).all()
    unlike = [torch.empty(12, 5).mT, torch.empty(1, 12).expand(5, 12), torch.empty(5, 11)]
    unlike += [torch.empty(5, 12, dtype=torch.float16), torch.empty(5, 12, device="meta")]
    for out in unlike:
        with pytest.raises(ValueError, match="out is not like x"):
            abs_topk(x, k, out=out)


@pytest.mark.parametrize(("select", "zero"), [(abs_topk, 0), (abs_topk_without_branches, 1)])
def test_gradients_flow_through_the_kept_entries_only(select: Any, zero: int) -> None:
    """Through a zero that is kept, where another is not, they may flow or not."""
    values = [[3.0, -1.0, 1.0, -4.0], [0.0, 0.0, 5.0, 0.0], [NAN, 1.0, 1.0, 1.0]]
    for layout in (torch.tensor(values), torch.tensor(values).mT.contiguous().mT):
        x = layout.detach().requires_grad_()
        (select(x, 3) * torch.arange(1.0, 5.0)).sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [[1, 2, 0, 4], [zero, 2 * zero, 3, 0], [1, 2, 3, 0]]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_gpu_takes_the_same_choice(dtype: torch.dtype) -> None:
    x = (torch.randn(500, 64, generator=torch.Generator().manual_seed(0)) * 4).round() / 4
    x = x.to(dtype)
    for k in (1, 16, 63):
        assert_same(abs_topk(x.cuda(), k).cpu(), abs_topk(x, k))
