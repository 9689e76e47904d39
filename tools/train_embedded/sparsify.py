"""Weight sparsity: of each matrix only the entries of largest magnitude stay."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor


def project(matrices: Iterable[Tensor], density: float, row_floor: int) -> None:
    """Set all but the largest entries of each matrix to zero, in place.

    Args:
        matrices: float32 on the CPU, each ``[rows, width]``.
        density: share of a matrix's entries that stays, rounded to whole entries.
        row_floor: entries that each row keeps whatever their size; they count.
    """
    if density >= 1.0:
        return
    with torch.no_grad():
        for matrix in matrices:
            matrix.mul_(kept(matrix, density, row_floor))


def kept(matrix: Tensor, density: float, row_floor: int) -> Tensor:
    """Tell which entries stay, bool ``[rows, width]``; of equal ones those of lowest index."""
    rows, width = matrix.shape
    floor = min(row_floor, width)
    count = max(round(density * matrix.numel()), rows * floor)
    # the bits of non-negative floats order as integers do, and numpy selects among those fastest
    size = matrix.detach().abs().numpy().view(np.int32).copy()
    if floor:
        largest = np.argpartition(size, width - floor, axis=1)[:, width - floor :]
        np.put_along_axis(size, largest, np.iinfo(np.int32).max, axis=1)
    flat = size.ravel()
    if count >= flat.size:
        return torch.ones_like(matrix, dtype=torch.bool)
    if not count:
        return torch.zeros_like(matrix, dtype=torch.bool)
    least = np.partition(flat, flat.size - count)[flat.size - count]
    stays = flat > least
    tied = np.flatnonzero(flat == least)
    stays[tied[: count - int(stays.sum())]] = True
    return torch.from_numpy(stays.reshape(rows, width))
