"""Compiled loops for what neither torch nor numpy does fast on a CPU.

Three things: selecting the entries of largest magnitude in every row, passing a gradient to the
entries selected, and transposing. Plain Python
functions over numpy arrays, compiled by numba for the machine at their first use in a process
(about a second; importing this costs nothing). All move bits and compute no floating point number,
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
    rows: int,
    width: int,
    stride: int,
    k: int,
    nan: int,
    spread: float,
    out: Array,
    out_stride: int,
) -> None:
    """Keep the ``k`` entries of largest magnitude of every row, of equal ones the first.

    Non-negative floats order as their bits do. The k-th largest magnitude is found by counting
    the entries that reach a guess. The first guess is the row before's answer, for neighbours are
    alike; the next follow the secant, and five or six counts settle a row.

    Args:
        x: the rows' bits as signed integers, flat; row r begins at ``r · stride``.
        rows: number of rows.
        width: entries of a row.
        stride: distance of rows in entries, as ``out_stride`` is for ``out``.
        k: entries to keep, 0 < k < width.
        nan: bits of infinity plus one: the place of every NaN in the order.
        spread: bits by which the magnitude of one rank differs from the next in a typical row,
            times the width. It steers the second guess, and only the speed depends on it.
        out: flat, written: the bits of x where kept, else zero.
        out_stride: see ``stride``.
    """
    zero, magnitude, most = x.dtype.type(0), x.dtype.type(np.iinfo(x.dtype).max), x.dtype.type(nan)
    bits = np.empty(width, x.dtype)
    guess = np.int64(0)
    slope = spread / width
    for row in range(rows):
        # slices, because a compiled index that may be negative costs two thirds of the speed
        source = x[row * stride : row * stride + width]
        target = out[row * out_stride : row * out_stride + width]
        largest, nonzero = zero, np.int32(0)
        for j in range(width):
            size = x.dtype.type(source[j] & magnitude)
            size = most if size > most else size
            largest = size if size > largest else largest
            nonzero = np.int32(nonzero + np.int32(size > zero))
            bits[j] = size
        # ``low`` is reached by at least k entries (n_low), ``high`` by fewer (n_high)
        low, n_low = np.int64(1), np.int64(nonzero)
        high, n_high = np.int64(largest) + 1, np.int64(0)
        if nonzero < k:  # all of them, and the first zeros
            low, n_low, high, n_high = np.int64(0), np.int64(width), np.int64(1), np.int64(nonzero)
        rounds, step = 0, slope
        last, n_last = np.int64(0), np.int64(-1)
        while high - low > 1 and n_low != k:
            rounds += 1
            if guess <= low or guess >= high or rounds % 6 == 0:  # so that no row takes long
                guess = low + (high - low) // 2
            level, reached = x.dtype.type(guess), np.int32(0)
            for j in range(width):  # numba would add in 64 bits, at half the speed
                reached = np.int32(reached + np.int32(bits[j] >= level))
            n = np.int64(reached)
            if n >= k:
                low, n_low = guess, n
            else:
                high, n_high = guess, n
            if n_last >= 0:
                step = abs((guess - last) / (n - n_last)) if n != n_last else 3 * step
            if rounds == 2:
                slope = 0.75 * slope + 0.25 * step
            last, n_last = guess, n
            guess += np.int64((n - k) * step) + (1 if n > k else -1)
            if low < guess < high:
                continue
            if low > 1 and high <= largest:  # both ends were counted
                guess = low + np.int64((high - low) * ((n_low - k + 0.5) / (n_low - n_high)))
            else:
                guess = (last + high) // 2 if n > k else (low + last) // 2
        level = x.dtype.type(low)
        guess = low + (high - low) // 2 if high - low < width * slope else low
        if n_low == k:
            for j in range(width):
                target[j] = source[j] if bits[j] >= level else zero
            continue
        left = k - n_high
        for j in range(width):
            tied = bits[j] == level and left > 0
            left -= np.int64(tied)
            target[j] = source[j] if bits[j] > level or tied else zero


def pass_where_selected(selected: Array, gradient: Array, out: Array) -> None:
    """Copy the gradient of the entries that are not zero; the others get zero.

    torch's own ``where`` takes ten times as long on a CPU.

    Args:
        selected: bits as signed integers, flat, of what `select_largest` wrote.
        gradient: bits, flat, of the gradient of each entry.
        out: bits, flat, written.
    """
    zero, magnitude = out.dtype.type(0), out.dtype.type(np.iinfo(out.dtype).max)
    for j in range(len(out)):
        out[j] = gradient[j] if selected[j] & magnitude else zero


def transpose_pairs(
    x: Array,
    start: int,
    stride: int,
    out: Array,
    out_start: int,
    out_stride: int,
    words: int,
    pairs: int,
) -> None:
    """Transpose 32-bit entries, two by two in 64-bit words: half the time of one by one.

    ``x`` and ``out`` are uint64 and flat. Row r of the ``2 · pairs`` rows of ``x``, of ``words``
    words each, begins at ``start + r · stride``; row c of the ``2 · words`` rows of ``out``, of
    ``pairs`` words each, at ``out_start + c · out_stride``.
    """
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    next_row, tile = np.uint64(stride), 8  # whole cache lines, few enough to stay in the cache
    for first_word in range(0, words, tile):
        for first in range(0, pairs, tile):
            size = min(first + tile, pairs) - first
            for word in range(first_word, min(first_word + tile, words)):
                # slices, because a compiled index that may be negative costs two thirds more
                source, at = x[start + 2 * first * stride + word :], np.uint64(0)
                upper = out_start + 2 * word * out_stride + first
                even, odd = out[upper : upper + size], out[upper + out_stride :][:size]
                for pair in range(size):
                    a, b = source[at], source[at + next_row]
                    even[pair] = (a & low) | (b << half)
                    odd[pair] = (a >> half) | (b & ~low)
                    at += next_row + next_row


@functools.cache
def _compiled(function: Callable[..., None], signature: str) -> Callable[..., None]:
    from numba import njit  # here, so that only what computes pays for the import

    compiled: Callable[..., None] = njit(signature, nogil=True, error_model="numpy")(function)
    return compiled


def compiled(function: Callable[..., None], signature: str) -> Callable[..., None]:
    """Return a function of this module as machine code that lets other threads run meanwhile.

    The signature is numba's, such as ``void(int32[::1],int64)``.
    """
    with _compiling:  # two threads would both compile
        return _compiled(function, signature)
