from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tools.train_embedded.sparsify import kept, project


def naive(matrix: np.ndarray, density: float, row_floor: int) -> np.ndarray:
    """Sorts everything: per row its largest entries first, then the largest of all."""
    rows, width = matrix.shape
    floor = min(row_floor, width)
    stays = np.zeros(matrix.shape, dtype=bool)
    for row in range(rows):
        for column in sorted(range(width), key=lambda c: -abs(matrix[row, c]))[:floor]:
            stays[row, column] = True
    wanted = max(round(density * matrix.size), int(stays.sum()))
    order = sorted(np.ndindex(*matrix.shape), key=lambda place: (-abs(matrix[place]), place))
    for place in order:
        if stays.sum() == wanted:
            break
        stays[place] = True
    return stays


@given(
    rows=st.integers(1, 7),
    width=st.integers(1, 9),
    density=st.floats(0.0, 1.0),
    row_floor=st.integers(0, 3),
    seed=st.integers(0, 10),
)
def test_it_keeps_what_sorting_keeps(
    rows: int, width: int, density: float, row_floor: int, seed: int
) -> None:
    matrix = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    found = kept(torch.from_numpy(matrix), density, row_floor)
    assert np.array_equal(found.numpy(), naive(matrix, density, row_floor))


@pytest.mark.parametrize("density", [0.1, 0.25, 0.5])
def test_equal_entries_are_kept_from_the_first_on_and_the_count_is_exact(density: float) -> None:
    stays = kept(torch.ones(8, 10), density, 0)
    assert stays.flatten().nonzero().flatten().tolist() == list(range(round(80 * density)))


def test_signs_and_values_of_what_stays_are_untouched() -> None:
    matrix = torch.tensor([[1.0, -4.0, 0.5], [3.0, -0.1, 2.0]])
    project([matrix], 0.5, 1)
    assert torch.equal(matrix, torch.tensor([[0.0, -4.0, 0.0], [3.0, 0.0, 2.0]]))


def test_every_row_keeps_its_floor() -> None:
    matrix = torch.cat([torch.full((3, 8), 10.0), torch.full((1, 8), 1e-6)])
    project([matrix], 0.5, 2)
    assert matrix.count_nonzero(dim=1).tolist()[3] == 2
    assert int(matrix.count_nonzero()) == 16


def test_dense_leaves_everything() -> None:
    matrix = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    before = matrix.clone()
    project([matrix], 1.0, 2)
    assert torch.equal(matrix, before)
