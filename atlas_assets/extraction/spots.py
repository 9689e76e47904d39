"""Places in prompts that are read besides what a pass reads anyway, added up by units of their own.

A *spot* is one token of one distinct prompt. Several units may count it, each any number of times.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csc_array

from atlas_assets.extraction.prompts import IntArray, TokenIds, UnitPrompts

_SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


@dataclass(frozen=True, eq=False)
class Occurrences:
    """What is to be read of which prompt, once for every time that it counts.

    Attributes:
        texts: the prompts.
        tokens: int64 ``[occurrences]``, the token of the prompt that is read, from 0.
        units: int64 ``[occurrences]``, the number of the unit that counts it.
        n_units: the number of units.
        ids: int32 ``[tokens]`` of each prompt that has been encoded, without the tokenizer's
            prefix.
    """

    texts: Sequence[str]
    tokens: IntArray
    units: IntArray
    n_units: int
    ids: Mapping[str, TokenIds] = field(default_factory=dict)

    @property
    def n_prompts(self) -> npt.NDArray[np.int32]:
        """How many prompts each unit counts, int32 ``[units]``."""
        return np.bincount(self.units, minlength=self.n_units).astype(np.int32)

    def select(self, some: IntArray) -> Occurrences:
        """Select some of the occurrences by number; the units stay."""
        texts = [self.texts[number] for number in some.tolist()]
        return replace(self, texts=texts, tokens=self.tokens[some], units=self.units[some])

    def each_alone(self) -> Occurrences:
        """Make every distinct (prompt, token) a unit of its own, in order of appearance."""
        pairs = list(zip(self.texts, self.tokens.tolist(), strict=True))
        first = {pair: number for number, pair in reversed(list(enumerate(pairs)))}
        some = np.asarray(sorted(first.values()), dtype=np.int64)
        return replace(self.select(some), units=np.arange(len(some)), n_units=len(some))


@dataclass(frozen=True, eq=False)
class Spots:
    """Distinct spots, what is counted at them, and the units that they count for.

    Attributes:
        rows: int64 ``[spots]``, the row of the table of prompts, ascending.
        tokens: int64 ``[spots]``, the token in that row.
        weights: float64 ``[units, spots]``, how often each unit counts each spot.
        thresholds: float32 ``[levels, layers]``; at each level it is counted how often
            |readout| is above that of the layer.
    """

    rows: IntArray
    tokens: IntArray
    weights: csc_array
    thresholds: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(
        cls,
        occurrences: Occurrences,
        row_of_text: Mapping[str, int],
        thresholds: npt.NDArray[np.float32],
        before: int,
    ) -> Self:
        """Gather equal spots; ``row_of_text`` holds every text of the occurrences.

        Each row begins with ``before`` tokens that are not of the prompt.
        """
        rows = np.asarray([row_of_text[text] for text in occurrences.texts], dtype=np.int64)
        places = np.stack([rows, occurrences.tokens + before], axis=1)
        distinct, spot = np.unique(places, axis=0, return_inverse=True)
        shape = (occurrences.n_units, len(distinct))
        ones = np.ones(len(rows))
        weights = csc_array(coo_array((ones, (occurrences.units, spot.ravel())), shape=shape))
        return cls(distinct[:, 0], distinct[:, 1], weights, thresholds)

    @property
    def n_levels(self) -> int:
        """The number of levels at which firings are counted."""
        return len(self.thresholds)

    @property
    def n_units(self) -> int:
        """The number of units."""
        return int(self.weights.shape[0])

    def at(self, some: IntArray) -> Spots:
        """Select some of the spots by number; units that count none of them stay."""
        weights = csc_array(self.weights[:, some])
        return replace(self, rows=self.rows[some], tokens=self.tokens[some], weights=weights)

    def within(self, prompts: UnitPrompts) -> tuple[IntArray, Spots]:
        """Return the spots of some prompts, and the numbers of the units that are left in them."""
        (some,) = np.nonzero(np.isin(self.rows, prompts.distinct))
        units, weights = self.weights_of(some)
        return units, replace(self.at(some), weights=csc_array(weights))

    def of_rows(self, rows: IntArray) -> tuple[IntArray, IntArray]:
        """Return the numbers of the spots of some rows, and each one's place in ``rows``."""
        first, end = (np.searchsorted(self.rows, rows, side) for side in _SIDES)
        places = np.repeat(np.arange(len(rows)), end - first)
        before = np.cumsum(end - first) - (end - first)
        return np.arange(len(places)) + (first - before)[places], places

    def weights_of(self, some: IntArray | slice) -> tuple[IntArray, npt.NDArray[np.float64]]:
        """Return which units count some of the spots, and how often each: ``[units, some]``."""
        columns = self.weights[:, some]
        units = np.unique(columns.indices).astype(np.int64)
        return units, columns[units].toarray()

    def digest(self) -> str:
        """Return the SHA-256 over everything that decides what is read and counted."""
        weights = self.weights
        parts = (self.rows, self.tokens, weights.indptr, weights.indices, weights.data)
        digest = hashlib.sha256(self.thresholds.astype("<f4").tobytes())
        for part in parts:
            digest.update(f"\0{part.shape}\0".encode())
            digest.update(part.astype("<f8").tobytes())
        return digest.hexdigest()
