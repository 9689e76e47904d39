from __future__ import annotations

import hypothesis
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from atlas_assets.models.sparse_linear import SparseLinear

TOLERANCE = {torch.float16: 2e-2, torch.bfloat16: 1e-1, torch.float32: 1e-5, torch.float64: 1e-12}
# the first call in a process compiles
settings = hypothesis.settings(deadline=None, max_examples=60)


def layer(
    columns: int, rows: int, density: float, *, bias: bool = True, seed: int = 0
) -> nn.Linear:
    generator = torch.Generator().manual_seed(seed)
    dense = nn.Linear(columns, rows, bias=bias).requires_grad_(False)
    dense.weight.copy_(torch.randn(rows, columns, generator=generator))
    dense.weight.mul_(torch.rand(rows, columns, generator=generator) < density)
    if bias:
        dense.bias.copy_(torch.randn(rows, generator=generator))
    return dense


def tokens(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@given(
    columns=st.integers(1, 40),
    rows=st.integers(1, 40),
    n_tokens=st.integers(0, 300),
    density=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    bias=st.booleans(),
)
@settings
def test_is_the_dense_layer(
    columns: int, rows: int, n_tokens: int, density: float, bias: bool
) -> None:
    dense = layer(columns, rows, density, bias=bias)
    x = tokens(n_tokens, columns)
    torch.testing.assert_close(SparseLinear(dense)(x), dense(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_in_any_precision(dtype: torch.dtype, device: str) -> None:
    dense, x = layer(70, 48, 0.1).to(device, dtype), tokens(2, 150, 70).to(device, dtype)
    found = SparseLinear(dense)(x)
    assert found.dtype == dtype
    torch.testing.assert_close(found, dense(x), rtol=0, atol=TOLERANCE[dtype])


def test_takes_views_and_any_leading_axes() -> None:
    dense = layer(24, 16, 0.2)
    sparse = SparseLinear(dense)
    wide = tokens(5, 7, 72)
    inputs = [*wide.chunk(3, dim=-1), wide[..., 3:27], wide[:, ::2, :24], wide[0, 0, :24]]
    inputs.append(tokens(24, 9).mT)
    for x in inputs:
        assert sparse(x).shape == dense(x).shape
        torch.testing.assert_close(sparse(x), dense(x), rtol=1e-5, atol=1e-5)


def test_a_token_gives_the_same_bits_in_any_company() -> None:
    sparse, x = SparseLinear(layer(64, 200, 0.1)), tokens(700, 64)
    whole = sparse(x)
    for first, last in ((0, 1), (3, 260), (255, 258), (699, 700)):
        assert torch.equal(sparse(x[first:last]), whole[first:last])
    assert torch.equal(sparse(x.flip(0)), whole.flip(0))


def test_what_is_not_finite_stays_with_the_weights_it_meets() -> None:
    dense = layer(4, 3, 1.0, bias=False)
    dense.weight[0, 2] = 0
    x = tokens(2, 4)
    x[1, 2] = float("nan")
    found = SparseLinear(dense)(x)
    assert found.isnan().tolist() == [[False] * 3, [False, True, True]]


@pytest.mark.parametrize("bias", [True, False])
def test_gradients_flow_to_the_input(bias: bool) -> None:
    dense = layer(40, 30, 0.2, bias=bias)
    sparse, weights = SparseLinear(dense), tokens(2, 5, 30)
    slopes = []
    for each in (dense, sparse):
        x = tokens(2, 5, 40).requires_grad_()
        (each(x) * weights).sum().backward()
        slopes.append(x.grad)
    torch.testing.assert_close(*slopes)
    assert sparse.state_dict().keys() == dense.state_dict().keys()
