from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tools.train_embedded.training import kept


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
    row_floor=st.integers(1, 3),
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
    stays = kept(torch.ones(1, 80), density, 1)
    assert stays[0, -1]  # the row's own
    found = stays.flatten().nonzero().flatten().tolist()[:-1]
    assert found == list(range(round(80 * density) - 1))


def test_every_row_keeps_its_floor() -> None:
    matrix = torch.cat([torch.full((3, 8), 10.0), torch.full((1, 8), 1e-6)])
    stays = kept(matrix, 0.5, 2)
    assert int(stays[3].sum()) == 2
    assert int(stays.sum()) == 16


def test_at_full_density_everything_stays() -> None:
    assert kept(torch.zeros(4, 4), 1.0, 2).all()
