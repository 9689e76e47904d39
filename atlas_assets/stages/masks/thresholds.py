"""What sums and counts must reach for a neuron to be strong and consistent (docs/science.md §3).

The rule compares float32 quotients: ``sum / n > ε`` and ``float32(count) / n >= C``. A correctly
rounded quotient never falls as its dividend grows. So for every n there is a smallest sum, and a
smallest count, from which on the comparison holds, and comparing with that decides as the rule
does, bit for bit, without a division per neuron.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.integer]
Whole = npt.NDArray[np.int64]
Singles = npt.NDArray[np.float32]


def weakest_sums(n_prompts: Integers, epsilon: float) -> Singles:
    """Return the smallest sums whose means over ``n_prompts`` (≥ 1, any shape) exceed ε.

    They are float32 of that shape; infinite where no finite sum will do.
    """
    n, least = n_prompts.astype(np.float32), _float32(epsilon)
    # the bits of a float ≥ 0, read as a whole number, are in the order of the floats
    infinite = np.full(n.shape, np.float32(np.inf).view(np.int32), dtype=np.int64)

    def exceeds(patterns: Whole) -> npt.NDArray[np.bool_]:
        return patterns.astype(np.int32).view(np.float32) / n > least

    return _smallest(exceeds, infinite).astype(np.int32).view(np.float32)


def fewest_prompts(n_prompts: Integers, consistency: float) -> Whole:
    """Return the smallest counts whose share of ``n_prompts`` (≥ 1, any shape) is at least C.

    They are int64 of that shape, at most ``n_prompts``.
    """
    n, least = n_prompts.astype(np.float32), _float32(consistency)
    return _smallest(lambda counts: counts.astype(np.float32) / n >= least, n_prompts)


def _smallest(holds: Callable[[Whole], npt.NDArray[np.bool_]], highest: Integers) -> Whole:
    """Return by bisection the smallest of 0 … ``highest`` that ``holds``, or else ``highest``."""
    low, high = np.zeros(highest.shape, dtype=np.int64), highest.astype(np.int64)
    while (low < high).any():
        middle = (low + high) // 2
        found = holds(middle)
        low, high = np.where(found, low, middle + 1), np.where(found, middle, high)
        low = np.minimum(low, high)
    return high


def _float32(value: float) -> np.float32:
    # a threshold beyond float32's range becomes inf, which no neuron exceeds: the right answer
    with np.errstate(over="ignore"):
        return np.float32(value)
