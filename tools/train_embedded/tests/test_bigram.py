from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from tools.train_embedded.results import SMOOTHINGS, bigram_losses

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


def test_the_losses_are_those_of_counting(tokens: tuple[np.ndarray, np.ndarray]) -> None:
    train, rows = tokens
    pairs = [pair for row in rows.tolist() for pair in pairwise(row)]
    for smoothing, loss in bigram_losses(train, rows, VOCABULARY).items():
        assert loss == pytest.approx(naive(train.tolist(), pairs, smoothing), rel=1e-12)


def test_its_likelihoods_sum_to_one(tokens: tuple[np.ndarray, np.ndarray]) -> None:
    train, _ = tokens
    for first in range(VOCABULARY):
        rows = [np.array([[first, second]]) for second in range(VOCABULARY)]
        losses = [bigram_losses(train, row, VOCABULARY) for row in rows]
        for smoothing in SMOOTHINGS:
            assert sum(math.exp(-each[smoothing]) for each in losses) == pytest.approx(1.0)
