"""Compiled loops for what neither torch nor numpy does fast on a CPU.

Two things: selecting the entries of largest magnitude in every row, and transposing. Plain Python
functions over numpy arrays, compiled by numba for the machine at their first use in a process
(about a second; importing this costs nothing). Both move bits and compute no floating point number,
so that their results are exact and the same on every machine.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_compiling = threading.Lock()


def select_largest(
    x: Array,
    stride: int,
    k: int,
    nan: int,
    spread: float,
    out: Array,
    least: Array,
    places: Array,
) -> None:
    """Keep the ``k`` entries of largest magnitude of every row, of equal ones the first.

    Non-negative floats order as their bits do. The k-th largest magnitude is found by counting
    the entries that reach a guess, beginning with the row before: neighbours are alike, and five
    or six counts settle a row.

    Args:
        x: the rows' bits as signed integers, flat; row r begins at ``r · stride``.
        stride: distance of rows in entries.
        k: entries to keep, 0 < k < width.
        nan: bits of infinity plus one: the place of every NaN in the order.
        spread: bits by which the magnitude of one rank differs from the next in a typical row,
            times the width. It steers the second guess, and only the speed depends on it.
        out: ``[rows, width]``, written: the bits of x where kept, else zero.
        least: ``[rows]``, written: the k-th largest magnitude.
        places: int64 ``[rows]``, written: how many entries equal to it are kept.
    """
    rows, width = out.shape
    zero, magnitude, most = x.dtype.type(0), x.dtype.type(np.iinfo(x.dtype).max), x.dtype.type(nan)
    bits = np.empty(width, x.dtype)
    guess = np.int64(0)
    for row in range(rows):
        start = row * stride
        largest, nonzero = zero, np.int32(0)
        for j in range(width):
            bits[j] = min(x[start + j] & magnitude, most)
            largest = max(largest, bits[j])
            nonzero = np.int32(nonzero + np.int32(bits[j] > zero))
        # ``low`` is reached by at least k entries (n_low), ``high`` by fewer (n_high)
        low, n_low = np.int64(1), np.int64(nonzero)
        high, n_high = np.int64(largest) + 1, np.int64(0)
        if nonzero < k:  # all of them, and the first zeros
            low, n_low, high, n_high = np.int64(0), np.int64(width), np.int64(1), np.int64(nonzero)
        rounds = 0
        while high - low > 1 and n_low != k:
            if guess <= low or guess >= high:
                guess = low + (high - low) // 2
            reached, level = np.int32(0), x.dtype.type(guess)
            for j in range(width):  # numba would add in 64 bits, at half the speed
                reached = np.int32(reached + np.int32(bits[j] >= level))
            if reached >= k:
                low, n_low = guess, np.int64(reached)
            else:
                high, n_high = guess, np.int64(reached)
            rounds += 1
            if rounds == 1:  # to the other side of the k-th, by what rows usually look like
                beyond = 1.0 if reached > k else -1.0
                guess += np.int64(((reached - k) * 1.4 + beyond) * spread / width)
            elif rounds % 4 == 3:  # so that no row takes long
                guess = low + (high - low) // 2
            else:
                guess = low + np.int64((high - low) * ((n_low - k + 0.5) / (n_low - n_high)))
        guess = low
        level = x.dtype.type(low)
        least[row] = level
        if n_low == k:
            places[row] = k
            for j in range(width):
                out[row, j] = x[start + j] if bits[j] >= level else zero
            continue
        places[row] = left = k - n_high
        for j in range(width):
            tied = bits[j] == level and left > 0
            left -= np.int64(tied)
            out[row, j] = x[start + j] if bits[j] > level or tied else zero


def select_same(
    x: Array, stride: int, nan: int, payload: Array, out: Array, least: Array, places: Array
) -> None:
    """Write ``payload`` where `select_largest` kept ``x``, else zero; both ``[rows, width]``."""
    rows, width = out.shape
    zero, magnitude, most = x.dtype.type(0), x.dtype.type(np.iinfo(x.dtype).max), x.dtype.type(nan)
    for row in range(rows):
        start, level, left = row * stride, least[row], places[row]
        for j in range(width):
            bits = min(x[start + j] & magnitude, most)
            tied = bits == level and left > 0
            left -= np.int64(tied)
            out[row, j] = payload[row, j] if bits > level or tied else zero


def transpose_pairs(x: Array, stride: int, out: Array) -> None:
    """Transpose 32-bit entries, two by two in 64-bit words: a third of the time of one by one.

    Args:
        x: uint64, flat; row r of an even number of 32-bit entries begins at ``r · stride`` words.
        stride: distance of rows in words.
        out: uint64 ``[columns of x, rows of x / 2]``, written.
    """
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    words, pairs = out.shape[0] // 2, out.shape[1]
    tile = 8  # whole cache lines, few enough to stay in the cache whatever the strides
    for first_word in range(0, words, tile):
        last_word = min(first_word + tile, words)
        for first_pair in range(0, pairs, tile):
            last_pair = min(first_pair + tile, pairs)
            for word in range(first_word, last_word):
                for pair in range(first_pair, last_pair):
                    a, b = x[2 * pair * stride + word], x[(2 * pair + 1) * stride + word]
                    out[2 * word, pair] = (a & low) | (b << half)
                    out[2 * word + 1, pair] = (a >> half) | (b & ~low)


@functools.cache
def _compiled(function: Callable[..., None], signature: str) -> Callable[..., None]:
    from numba import njit  # here, so that only what computes pays for the import

    compiled: Callable[..., None] = njit(signature, nogil=True, error_model="numpy")(function)
    return compiled


def compiled(function: Callable[..., None], signature: str) -> Callable[..., None]:
    """``function`` as machine code that lets other threads run meanwhile.

    Args:
        function: one of this module's.
        signature: numba's, such as ``void(int32[::1],int64)``.
    """
    with _compiling:  # two threads would both compile
        return _compiled(function, signature)
