"""Sparse matrices and the selection of activations, against torch's own, on one core.

What is compared runs in turns, in CPU time of one thread: an atlas runs one batch per core. Tokens
come in the pieces in which the network works on them.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from atlas_assets.models.sparse_linear import SparseLinear
from atlas_assets.models.sparsity import abs_topk
from benchmarks.measure import Findings, Measurement, Table

#: widths over which activations are selected, a quarter of each
WIDTHS = (128, 256, 512, 2048, 8192)
#: rows and columns of weights: of a small, a wide and the released model
SHAPES = ((384, 144), (1536, 544), (2048, 544), (512, 2048), (8192, 2080), (2048, 8192))
DENSITIES = (0.01, 0.05, 0.1, 0.2)
#: entries of one input, tokens of one product
ENTRIES, TOKENS = 2**18, 256
REPEATS = 7


def measure() -> Findings:
    """Both tables, and the two numbers that matter most."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            selections = [_selection(width) for width in WIDTHS]
            products = [_product(shape, density) for shape in SHAPES for density in DENSITIES]
    finally:
        torch.set_num_threads(before)
    slowest = min(topk / ours for _, topk, ours in selections)
    released = next(
        dense / packed
        for shape, density, dense, _, packed in products
        if shape == SHAPES[-1] and density == DENSITIES[0]
    )
    return Findings(
        [
            Measurement("selection of a quarter against torch.topk, worst width", slowest, "×"),
            Measurement(f"packed against dense, {SHAPES[-1]} at 1%", released, "×"),
        ],
        [
            Table(
                "Keeping the largest quarter of a row, ns per entry",
                ("width", "torch.topk and scatter", "abs_topk", "ratio"),
                tuple((w, _round(a), _round(b), _round(a / b)) for w, a, b in selections),
            ),
            Table(
                "A product with a sparse matrix, µs per token",
                ("rows × columns", "density", "dense", "CSR", "packed", "dense / packed"),
                tuple(
                    (f"{rows} × {columns}", density, *map(_round, (a, b, c, a / c)))
                    for (rows, columns), density, a, b, c in products
                ),
            ),
        ],
    )


def _selection(width: int) -> tuple[int, float, float]:
    x = torch.randn(ENTRIES // width, width, generator=torch.Generator().manual_seed(width))
    k = width // 4

    def plain() -> Tensor:
        places = torch.topk(x.abs(), k, dim=-1, sorted=False).indices
        return torch.zeros_like(x).scatter_(-1, places, x.gather(-1, places))

    first, second = _in_turns(plain, lambda: abs_topk(x, k))
    return width, first / ENTRIES, second / ENTRIES


def _product(
    shape: tuple[int, int], density: float
) -> tuple[tuple[int, int], float, float, float, float]:
    rows, columns = shape
    generator = torch.Generator().manual_seed(rows)
    dense = nn.Linear(columns, rows)
    kept = torch.rand(rows, columns, generator=generator) < density
    dense.weight.copy_(torch.randn(rows, columns, generator=generator) * kept)
    packed, x = SparseLinear(dense), torch.randn(TOKENS, columns, generator=generator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch calls the layout a beta
        matrix, bias = dense.weight.to_sparse_csr(), dense.bias[:, None]
    times = _in_turns(
        lambda: dense(x),
        lambda: (matrix @ x.t().contiguous()).add_(bias).t().contiguous(),
        lambda: packed(x),
    )
    first, second, third = (ns / TOKENS / 1000 for ns in times)
    return shape, density, first, second, third


def _in_turns(*works: Callable[[], object]) -> list[float]:
    """Median CPU time of this thread in ns, the first round uncounted."""
    rounds = []
    for _ in range(REPEATS + 1):
        times = []
        for work in works:
            started = time.thread_time_ns()
            work()
            times.append(float(time.thread_time_ns() - started))
        rounds.append(times)
    return [statistics.median(column) for column in zip(*rounds[1:], strict=True)]


def _round(value: float) -> float:
    return float(f"{value:.3g}")
