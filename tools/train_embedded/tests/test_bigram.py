from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from tools.train_embedded.bigram import SMOOTHINGS, best_bigram, bigram_loss

VOCABULARY = 12


def naive(train: list[int], pairs: list[tuple[int, int]], smoothing: float) -> float:
    single, double = Counter(train), Counter(pairwise(train))
    before = Counter(train[:-1])
    total = 0.0
    for first, second in pairs:
        unigram = (single[second] + 1) / (len(train) + VOCABULARY)
        likelihood = (double[first, second] + smoothing * unigram) / (before[first] + smoothing)
        total -= math.log(likelihood)
    return total / len(pairs)


@pytest.fixture
def tokens() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, VOCABULARY - 2, 300), rng.integers(0, VOCABULARY, (5, 9))


@pytest.mark.parametrize("smoothing", [0.5, 1.0, 30.0])
def test_the_loss_is_that_of_counting(
    tokens: tuple[np.ndarray, np.ndarray], smoothing: float
) -> None:
    train, rows = tokens
    pairs = [pair for row in rows.tolist() for pair in pairwise(row)]
    found = bigram_loss(train, rows[:, :-1], rows[:, 1:], VOCABULARY, smoothing)
    assert found == pytest.approx(naive(train.tolist(), pairs, smoothing), rel=1e-12)


def test_its_likelihoods_sum_to_one(tokens: tuple[np.ndarray, np.ndarray]) -> None:
    train, _ = tokens
    every = np.arange(VOCABULARY)
    for first in range(VOCABULARY):
        likelihoods = [
            math.exp(-bigram_loss(train, np.array([first]), each[None], VOCABULARY, 3.0))
            for each in every
        ]
        assert sum(likelihoods) == pytest.approx(1.0)


def test_the_best_smoothing_is_taken(tokens: tuple[np.ndarray, np.ndarray]) -> None:
    train, rows = tokens
    inputs, targets = rows[:, :-1], rows[:, 1:]
    best = best_bigram(train, inputs, targets, VOCABULARY)
    losses = {s: bigram_loss(train, inputs, targets, VOCABULARY, s) for s in SMOOTHINGS}
    assert best.loss == min(losses.values()) == losses[best.smoothing]
