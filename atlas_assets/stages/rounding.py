"""How the published tables round and average.

The tables average eight 4-decimal fractions to 4 decimals; one in eight such means is a tie, so
the way of rounding shows. The release rounds in two ways, and so does this module:

- a *fraction* with Python's ``round``, which is correct for the binary value of the quotient;
- a *mean* as pandas 2.2 does: compensated (Kahan) sum in row order, divided by the number of rows,
  then numpy's rounding, which scales, rounds half to even and scales back.

Rounding the means like the fractions would move one in twenty by 0.0001. Polars' rounding equals
neither: do not round with it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

DECIMALS = 4


def fractions(parts: Counts, wholes: Counts) -> Reals:
    """``parts / wholes`` to 4 decimals, 0 where the whole is 0.

    Args:
        parts: int64, any shape.
        wholes: int64, the same shape.

    Returns:
        float64 of that shape, each value equal to Python's ``round(part / whole, 4)``.
    """
    return decimals(np.divide(parts, wholes, out=np.zeros(parts.shape), where=wholes > 0))


def decimals(values: Reals) -> Reals:
    """Each value to 4 decimals, equal to Python's ``round(value, 4)``; the shape of ``values``."""
    # numpy's rounding differs from Python's for one quotient of counts in 3,000 (1/160, for one)
    rounded = [round(value, DECIMALS) for value in values.ravel().tolist()]
    return np.array(rounded, dtype=np.float64).reshape(values.shape)


def means(rows: Reals | Counts, places: int = DECIMALS) -> Reals:
    """Column means to ``places`` decimals, equal to pandas' ``groupby(…).mean().round(places)``.

    Args:
        rows: ``[rows, …]``, at least one row; averaged over the first axis, in order.
        places: decimals of the result.

    Returns:
        float64 ``[…]``.
    """
    total = np.zeros(rows.shape[1:])
    lost = np.zeros(rows.shape[1:])
    for row in rows:
        term = row - lost
        larger = total + term
        lost = (larger - total) - term
        total = larger
    return np.round(total / len(rows), places)
