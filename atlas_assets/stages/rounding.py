"""How the published tables round and average (docs/science.md §4 and §5).

The tables average fractions of 4 decimals to 4 decimals; one in eight means of eight fractions is
a tie, so the way of summing and rounding shows: `mean` is that of ``14_summary.csv``, `means` that
of ``token_independence_summary.csv``. Both round as numpy does (scale, round half to even, scale
back); rounded like fractions, one in twenty would move by 0.0001. Polars' rounding is neither.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

DECIMALS = 4


def fractions(parts: Counts, wholes: Counts) -> Reals:
    """Return ``parts / wholes`` to 4 decimals, 0 where the whole is 0.

    Both are int64 of one shape, as is the float64 result; each value equals Python's
    ``round(part / whole, 4)``.
    """
    return decimals(np.divide(parts, wholes, out=np.zeros(parts.shape), where=wholes > 0))


def decimals(values: Reals) -> Reals:
    """Return each value to 4 decimals, equal to Python's ``round(value, 4)``."""
    # numpy's rounding differs from Python's for one quotient of counts in 3,000 (1/160, for one)
    rounded = [round(value, DECIMALS) for value in values.ravel().tolist()]
    return np.array(rounded, dtype=np.float64).reshape(values.shape)


def mean(values: Reals | Counts, places: int = DECIMALS) -> float | None:
    """Return a mean to ``places`` decimals, equal to ``round(series.mean(), places)`` in pandas.

    The values may have any shape and are summed pairwise in C order, in which the release's rows
    are. Of no values the mean is ``None``.
    """
    return float(np.round(values.ravel().mean(), places)) if values.size else None


def means(rows: Reals | Counts, places: int = DECIMALS) -> Reals:
    """Return column means, equal to pandas' ``groupby(…).mean().round(places)``.

    Args:
        rows: ``[rows, …]``, at least one row; averaged over the first axis, in order.
        places: The decimals of the result.
    """
    total = np.zeros(rows.shape[1:])
    lost = np.zeros(rows.shape[1:])
    for row in rows:
        term = row - lost
        larger = total + term
        lost = (larger - total) - term
        total = larger
    return np.round(total / len(rows), places)
