"""Causal attention for training on a CPU, fast where most entries of keys and values are zero.

Activation sparsity leaves a quarter of them, so that the six products of attention and of its
gradient take a quarter of the work; and of the square of scores only the blocks on the causal side
are computed, where products of whole matrices throw half away. Scores lie with one key in a row
and the queries along it, so that no loop but the dot products of gradients adds up along its own
axis. Loops are compiled by numba at their first use in a process (some seconds).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numba import njit
from torch import Tensor

Array = npt.NDArray[Any]
#: queries of a block; loops are over whole blocks, without a remainder that is not vectorised
BLOCK = 32
_FLOAT, _INT = np.float32, np.int32
#: exp is computed as 2ⁿ · exp(r), |r| ≤ ln 2 / 2, the latter by the polynomial of Cephes' expf
_LOG2_E, _LN2_HIGH, _LN2_LOW = _FLOAT(1.442695), _FLOAT(0.693359375), _FLOAT(-2.12194440e-4)
_P0, _P1, _P2 = _FLOAT(1.9875691500e-4), _FLOAT(1.3981999507e-3), _FLOAT(8.3334519073e-3)
_P3, _P4, _P5 = _FLOAT(4.1665795894e-2), _FLOAT(1.6666665459e-1), _FLOAT(5.0000001201e-1)
_LEAST, _HALF, _ONE, _BIAS, _MANTISSA = _FLOAT(-87), _FLOAT(0.5), _FLOAT(1), _INT(127), _INT(23)


def attend(qkv: Tensor, sink: Tensor, heads: int, places: Sequence[Any]) -> Tensor:
    """Select q, k and v of their largest entries, and attend over earlier keys and a sink.

    Args:
        qkv: float32 ``[batch, tokens, 3 · inner]`` on the CPU.
        sink: the logits of the sink, whose value is zero, float32 ``[heads]``.
        heads: their number.
        places: the three `Sparsity` modules of q, k and v.

    Returns:
        ``[batch, tokens, inner]``. Its gradients flow as those of `abs_topk` do.
    """
    output: Tensor = _Attend.apply(qkv, sink, heads, places)  # type: ignore[no-untyped-call]
    return output


class _Attend(torch.autograd.Function):
    """`attend` with its gradient."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, sink: Tensor, heads: int, places: Sequence[Any]) -> Tensor:
        batch, tokens, width = qkv.shape
        shape = (batch, tokens, heads, width // 3 // heads)
        chosen = qkv.new_empty(3, batch * tokens, width // 3)
        for place, part, out in zip(places, qkv.flatten(0, 1).chunk(3, -1), chosen, strict=True):
            place(part, out)
        queries = -(-tokens // BLOCK) * BLOCK
        scores = qkv.new_empty(batch, heads, tokens, queries)
        sums, alone = qkv.new_empty(2, batch, heads, queries)
        output = qkv.new_empty(shape)
        kept = [place.kept for place in places]
        ctx.every = np.array([each is None or each >= chosen.shape[-1] for each in kept])
        chosen = chosen.view(3, *shape)
        _attend(_scale(shape), *_arrays(chosen, sink, scores, sums, alone, output))
        ctx.save_for_backward(chosen, scores, sums, alone, output)
        return output.view(batch, tokens, width // 3)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        chosen, scores, sums, alone, output = ctx.saved_tensors
        _, batch, tokens, heads, size = chosen.shape
        given = grads[0].contiguous().view(output.shape)
        gradient = given.new_empty(batch, tokens, 3, heads, size)
        to_sink = given.new_empty(batch, heads)
        told = chosen, scores, sums, alone, output, given, gradient, to_sink
        _differentiate(_scale(output.shape), ctx.every, *_arrays(*told))
        return gradient.view(batch, tokens, 3 * heads * size), to_sink.sum(0), None, None


def _arrays(*tensors: Tensor) -> tuple[Array, ...]:
    return tuple(tensor.detach().numpy() for tensor in tensors)


def _scale(shape: Sequence[int]) -> np.float32:
    return _FLOAT(1 / math.sqrt(shape[-1]))


#: sums may be taken in the order that suits the vector registers, and products fused into them
_compile = njit(nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
#: no reordering where the digits that a subtraction leaves are the point
_compile_exactly = njit(nogil=True, error_model="numpy", fastmath={"contract"})


@_compile_exactly
def _exponentiate(x: Array, largest: Array, powers: Array) -> None:
    """Replace x, at most ``largest``, by exp(x − largest); ``powers`` is room for as many int32."""
    for i in range(len(x)):
        below = x[i] - largest[i]
        below = _LEAST if below < _LEAST else below
        n = _INT(below * _LOG2_E - _HALF)
        r = (below - _FLOAT(n) * _LN2_HIGH) - _FLOAT(n) * _LN2_LOW
        polynomial = ((((_P0 * r + _P1) * r + _P2) * r + _P3) * r + _P4) * r + _P5
        powers[i] = (n + _BIAS) << _MANTISSA
        x[i] = polynomial * r * r + r + _ONE
    factors = powers.view(_FLOAT)
    for i in range(len(x)):
        x[i] *= factors[i]


@njit(nogil=True, error_model="numpy", fastmath={"nnan", "nsz"})
def _raise(largest: Array, row: Array) -> None:
    """Replace ``largest`` by the larger of it and ``row``; NaN is not seen here, but by exp.

    Vector registers have no maximum that treats NaN as a comparison does.
    """
    for i in range(len(row)):
        largest[i] = row[i] if row[i] > largest[i] else largest[i]


@_compile
def _list_entries(row: Array, every: bool, values: Array, places: Array) -> int:
    """List the entries of a row that are not zero, or all; pad by three; return their number."""
    count = 0
    for d in range(len(row)):
        places[count], values[count] = d, row[d]
        count += (row[d] != 0) | every
    places[count : count + 3], values[count : count + 3] = 0, 0
    return count


@_compile
def _mix(count: int, values: Array, places: Array, rows: Array, first: int, out: Array) -> None:
    """Write the sum of the listed ``values`` times their ``rows``, from column ``first`` on."""
    out[:] = 0
    for e in range(0, count, 4):
        row0, row1 = rows[places[e]][first:], rows[places[e + 1]][first:]
        row2, row3 = rows[places[e + 2]][first:], rows[places[e + 3]][first:]
        a, b, c, d = values[e], values[e + 1], values[e + 2], values[e + 3]
        for i in range(len(out)):
            out[i] += a * row0[i] + b * row1[i] + c * row2[i] + d * row3[i]


@_compile
def _attend(
    scale: np.float32,
    qkv: Array,
    sink: Array,
    scores: Array,
    sums: Array,
    alone: Array,
    output: Array,
) -> None:
    """Write ``output`` ``[batch, tokens, heads, size]`` and what the gradient needs.

    ``scores`` ``[batch, heads, key, query]`` become exp(score − the query's largest), ``sums``
    ``[batch, heads, query]`` what they are to be multiplied by, ``alone`` the weight of the sink.
    """
    _, batch, tokens, heads, size = qkv.shape
    queries = scores.shape[3]
    q_rows = np.zeros((size, queries), _FLOAT)
    out_rows = np.zeros_like(q_rows)
    largest, powers = np.empty(queries, _FLOAT), np.empty(queries, _INT)
    values, places = np.empty(size + 3, _FLOAT), np.empty(size + 3, np.int64)
    for b in range(batch):
        for h in range(heads):
            for i in range(tokens):
                q = qkv[0, b, i, h]
                for d in range(size):
                    q_rows[d, i] = q[d] * scale
            largest[:] = sink[h]
            for j in range(tokens):
                first = j // BLOCK * BLOCK
                count = _list_entries(qkv[1, b, j, h], False, values, places)
                row = scores[b, h, j][first:]
                _mix(count, values, places, q_rows, first, row)
                row[: j - first] = -np.inf
                _raise(largest[first:], row)
            total, of_sink = sums[b, h], alone[b, h]
            of_sink[:] = sink[h]
            _exponentiate(of_sink, largest, powers)
            total[:] = of_sink
            out_rows[:] = 0
            for j in range(tokens):
                first = j // BLOCK * BLOCK
                row, more = scores[b, h, j][first:], total[first:]
                _exponentiate(row, largest[first:], powers)
                row[: j - first] = 0
                for i in range(len(row)):
                    more[i] += row[i]
                count = _list_entries(qkv[2, b, j, h], False, values, places)
                for e in range(count):
                    value, out = values[e], out_rows[places[e]][first:]
                    for i in range(len(row)):
                        out[i] += value * row[i]
            for i in range(queries):
                total[i] = _ONE / total[i]
                of_sink[i] *= total[i]
            for i in range(tokens):
                out = output[b, i, h]
                for d in range(size):
                    out[d] = out_rows[d, i] * total[i]


@_compile
def _differentiate(
    scale: np.float32,
    every: Array,
    qkv: Array,
    scores: Array,
    sums: Array,
    alone: Array,
    output: Array,
    given: Array,
    gradient: Array,
    to_sink: Array,
) -> None:
    """Write ``gradient`` ``[batch, tokens, 3, heads, size]`` of entries that are not zero.

    It is written of all entries of q, k or v where ``every`` says so, and else zero. ``given`` is
    the gradient of ``output``; ``to_sink`` ``[batch, heads]``. The others are as `_attend` left
    them.
    """
    _, batch, tokens, heads, size = qkv.shape
    queries = scores.shape[3]
    q_rows = np.zeros((size, queries), _FLOAT)
    given_rows, to_q = np.zeros_like(q_rows), np.zeros_like(q_rows)
    shares = np.zeros(queries, _FLOAT)
    weights, towards = np.zeros_like(shares), np.zeros_like(shares)
    values, places = np.empty(size + 3, _FLOAT), np.empty(size + 3, np.int64)
    for b in range(batch):
        for h in range(heads):
            of_sink = _FLOAT(0)
            for i in range(tokens):
                q, to, out = qkv[0, b, i, h], given[b, i, h], output[b, i, h]
                share = _FLOAT(0)
                for d in range(size):
                    q_rows[d, i], given_rows[d, i] = q[d] * scale, to[d]
                for d in range(size):
                    share += to[d] * out[d]
                shares[i] = share  # Σ weight · its gradient, over the keys of query i
                of_sink -= alone[b, h, i] * share
            to_sink[b, h] = of_sink
            to_q[:] = 0
            for j in range(tokens):
                first = j // BLOCK * BLOCK
                weight, toward, share_of = weights[first:], towards[first:], shares[first:]
                row, factor = scores[b, h, j][first:], sums[b, h][first:]
                count = _list_entries(qkv[2, b, j, h], every[2], values, places)
                _mix(count, values, places, given_rows, first, toward)
                for i in range(len(row)):
                    share = row[i] * factor[i]
                    weight[i] = share
                    toward[i] = share * (toward[i] - share_of[i])
                to_v, to_k = gradient[b, j, 2, h], gradient[b, j, 1, h]
                to_v[:] = 0
                for e in range(count):
                    total, of_d = _FLOAT(0), given_rows[places[e]][first:]
                    for i in range(len(row)):
                        total += weight[i] * of_d[i]
                    to_v[places[e]] = total
                count = _list_entries(qkv[1, b, j, h], every[1], values, places)
                to_k[:] = 0
                for e in range(count):
                    total, of_d, value = _FLOAT(0), q_rows[places[e]][first:], values[e]
                    to_q_d = to_q[places[e]][first:]
                    for i in range(len(row)):
                        total += toward[i] * of_d[i]
                        to_q_d[i] += value * toward[i]
                    to_k[places[e]] = total
            for i in range(tokens):
                q, to = qkv[0, b, i, h], gradient[b, i, 0, h]
                for d in range(size):
                    to[d] = to_q[d, i] * scale if q[d] != 0 or every[0] else _FLOAT(0)
