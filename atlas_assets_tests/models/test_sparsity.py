from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atlas_assets.models.sparsity import abs_topk
from atlas_assets_tests.oracles.circuitgpt_naive import keep_largest

# few distinct magnitudes, so that most rows have ties
VALUES = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 1e-40, -1e-40, 3e38])


@st.composite
def rows(draw: st.DrawFn) -> tuple[list[list[float]], int]:
    width = draw(st.integers(1, 9))
    row = st.lists(VALUES, min_size=width, max_size=width)
    return draw(st.lists(row, min_size=1, max_size=4)), draw(st.integers(0, width + 1))


@given(rows())
def test_equals_a_sort_by_magnitude_then_index(case: tuple[list[list[float]], int]) -> None:
    values, k = case
    expected = np.array([keep_largest(np.array(row, dtype=np.float32), k) for row in values])
    found = abs_topk(torch.tensor(values, dtype=torch.float32), k)
    np.testing.assert_array_equal(found.numpy(), expected)


@given(rows())
def test_other_dtypes_take_the_same_choice(case: tuple[list[list[float]], int]) -> None:
    values, k = case
    x = torch.tensor(values, dtype=torch.float64)
    expected = np.array([keep_largest(np.array(row), k) for row in values])
    np.testing.assert_array_equal(abs_topk(x, k).numpy(), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_keeps_exactly_k_in_any_precision(dtype: torch.dtype) -> None:
    # quarter steps: in half precision almost every row has ties at the k-th place
    x = (torch.randn(200, 64, generator=torch.Generator().manual_seed(0)) * 4).round() / 4
    x = x.to(dtype)
    found = abs_topk(x, 16)
    assert found.dtype == dtype
    kept = found != 0
    assert kept.sum(-1).max() == 16
    assert torch.equal(found[kept], x[kept])


def test_leaves_its_input_alone_and_works_on_views() -> None:
    x = torch.randn(3, 5, 12, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    views = x.chunk(3, dim=-1)
    for view in views:
        assert torch.equal(abs_topk(view, 2), abs_topk(view.contiguous(), 2))
    assert torch.equal(x, before)


def test_a_batch_gives_what_its_rows_give() -> None:
    x = torch.randn(64, 32, generator=torch.Generator().manual_seed(0))
    x[10] = 1.0  # one row of ties among rows without
    whole = abs_topk(x, 8)
    assert torch.equal(whole, torch.stack([abs_topk(row, 8) for row in x]))
    assert whole[10].nonzero().flatten().tolist() == list(range(8))


def test_nan_stays_visible() -> None:
    x = torch.tensor([[1.0, float("nan"), 3.0, 2.0], [4.0, 3.0, 2.0, 1.0]])
    found = abs_topk(x, 2)
    assert found[0].isnan().any()
    assert found[1].tolist() == [4.0, 3.0, 0.0, 0.0]


def test_gradients_flow_through_the_kept_entries_only() -> None:
    x = torch.tensor([[3.0, -1.0, 1.0, -4.0]], requires_grad=True)
    abs_topk(x, 3).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[1.0, 1.0, 0.0, 1.0]]
