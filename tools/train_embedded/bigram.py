"""The baseline: what a token's predecessor alone tells about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
#: weights of the unigram model tried; the best one on the held-out tokens is taken
SMOOTHINGS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)


@dataclass(frozen=True)
class BigramLoss:
    """A smoothed bigram model's loss.

    Attributes:
        loss: mean cross-entropy, nats per token.
        smoothing: weight of the unigram model, in observations.
    """

    loss: float
    smoothing: float


def bigram_loss(
    train: IntArray, inputs: IntArray, targets: IntArray, vocab_size: int, smoothing: float
) -> float:
    """Return a smoothed bigram model's loss: the mean −ln p(target | input), nats.

    p(b | a) = (count(a b) + s · p(b)) / (count(a) + s), where p(b) is the unigram model with one
    added to each count, and counts are those of ``train``.

    Args:
        train: int64 ``[tokens]``.
        inputs: int64, any shape.
        targets: int64, of the same shape: the token after each input.
        vocab_size: number of ids.
        smoothing: s > 0.
    """
    single = np.bincount(train, minlength=vocab_size) + 1.0
    unigram = single / single.sum()
    followed = np.bincount(train[:-1], minlength=vocab_size)
    pairs, counts = np.unique(train[:-1] * vocab_size + train[1:], return_counts=True)
    wanted = (inputs * vocab_size + targets).ravel()
    place = np.searchsorted(pairs, wanted)
    place[place == len(pairs)] = 0
    seen = np.where(pairs[place] == wanted, counts[place], 0)
    likelihood = (seen + smoothing * unigram[targets.ravel()]) / (
        followed[inputs.ravel()] + smoothing
    )
    return float(-np.log(likelihood).mean())


def best_bigram(
    train: IntArray, inputs: IntArray, targets: IntArray, vocab_size: int
) -> BigramLoss:
    """Return the lowest bigram loss over all `SMOOTHINGS`."""
    losses = [bigram_loss(train, inputs, targets, vocab_size, each) for each in SMOOTHINGS]
    best = int(np.argmin(losses))
    return BigramLoss(losses[best], SMOOTHINGS[best])
