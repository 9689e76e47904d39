"""Reads prompts at several positions in one pass, and the scale of the readouts at each.

The scale s_l of a position is the root of the mean r² over the neurons of layer l and over the
prompts of a sample that have the position. The sample is one for all positions: of the distinct
prompts, in the order of their texts, every n-th, n being the least number that leaves at most
2,048 (for a position that none of them has: the same of those that have it). A neuron *fires at
level κ* on a prompt where |r| > κ · s_l.
"""

from __future__ import annotations

import hashlib
import unicodedata
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.errors import StimulusError, shortened
from atlas_assets.extraction.passes import Doubles
from atlas_assets.extraction.prompts import TEXTS_PER_CALL, IntArray, TokenIds
from atlas_assets.extraction.spots import Occurrences
from atlas_assets.models.loaded import ModelTokenizer
from atlas_assets.stages.activations.positions import (
    HALVES,
    LEVELS,
    PositionActivations,
    placed,
)
from atlas_assets.stages.circuits import read_tokens
from atlas_assets.stages.prompts.positions import POSITIONS, Position

#: distinct prompts in the sample that a scale is taken from, at most
SAMPLE_PROMPTS = 2048


@dataclass(frozen=True, eq=False)
class Scale:
    """How large readouts are at a position.

    Attributes:
        values: float64 ``[layers]``, s_l.
        prompts: the number of distinct prompts in the sample.
        sample: SHA-256 (hex) over the texts of the sample and the tokens that were read.
    """

    values: Doubles
    prompts: int
    sample: str

    @property
    def thresholds(self) -> npt.NDArray[np.float32]:
        """κ · s_l, float32 ``[levels, layers]``."""
        return np.outer(LEVELS, self.values).astype(np.float32)


@dataclass(frozen=True, eq=False)
class PositionReadings:
    """What one position gives.

    Attributes:
        scale: how large readouts are there.
        n_prompts: int32 ``[units]``, how many prompts each unit counts.
        sums: float32 ``[units, layers, width]``, Σ|readout|.
        counts: int32 ``[levels, units, layers, width]``, on how many prompts each neuron fires.
    """

    scale: Scale
    n_prompts: npt.NDArray[np.int32]
    sums: npt.NDArray[np.float32]
    counts: npt.NDArray[np.int32]


def samples_of(positions: Mapping[str, Occurrences]) -> dict[str, Occurrences]:
    """Return, by position, the distinct spots that its scale is taken from."""
    of_all = _thinned({text for found in positions.values() for text in found.texts})
    samples = {}
    for name, occurrences in positions.items():
        sampled = of_all.intersection(occurrences.texts) or _thinned(set(occurrences.texts))
        kept = [number for number, text in enumerate(occurrences.texts) if text in sampled]
        samples[name] = occurrences.select(np.asarray(kept, dtype=np.int64)).each_alone()
    return samples


def _thinned(texts: set[str]) -> set[str]:
    step = max(-(-len(texts) // SAMPLE_PROMPTS), 1)
    return set(sorted(texts)[::step])


def scale_of(sample: Occurrences, sums: npt.NDArray[np.float32]) -> Scale:
    """Compute a position's scale from the |readouts| of its sample, ``[spots, layers, width]``."""
    squares = np.zeros(sums.shape[1])
    for readout in sums:
        squares += np.square(readout.astype(np.float64)).sum(axis=1)
    values = np.sqrt(squares / max(len(sums) * sums.shape[2], 1))
    read = zip(sample.texts, sample.tokens.tolist(), strict=True)
    digest = hashlib.sha256("\0".join(f"{text}\0{token}" for text, token in read).encode())
    return Scale(values, len(set(sample.texts)), digest.hexdigest())


def occurrences_at(
    tokenizer: ModelTokenizer,
    texts: Sequence[str],
    ends: Mapping[Position, Sequence[int | None]],
    units: Sequence[int],
    n_units: int,
) -> dict[str, Occurrences]:
    """Find by position the tokens that hold the last character before each end.

    Args:
        tokenizer: gives the characters of each token.
        texts: prompts.
        ends: by position, characters up to the end of what is read in each prompt, ≥ 1; None where
            there is nothing, which leaves the prompt out.
        units: the number of the unit that counts each prompt.
        n_units: the number of units.

    Raises:
        StimulusError: the tokenizer has left out what is to be read, so that no token holds it.
    """
    wanted: dict[str, set[int]] = {}
    for of_position in ends.values():
        for text, end in zip(texts, of_position, strict=True):
            if end is not None:
                wanted.setdefault(text, set()).add(end)
    token_of: dict[tuple[str, int], int] = {}
    ids_of: dict[str, TokenIds] = {}
    distinct = list(wanted)
    for start in range(0, len(distinct), TEXTS_PER_CALL):
        some = distinct[start : start + TEXTS_PER_CALL]
        encoded = zip(some, tokenizer.encode_with_spans(some), strict=True)
        for text, (ids, spans) in encoded:
            ids_of[text] = np.asarray(ids, dtype=np.int32)
            for end in wanted[text]:
                token_of[text, end] = _token_at(text, end, spans)
    found: dict[str, Occurrences] = {}
    for position, of_position in ends.items():
        read = [
            (text, token_of[text, end], unit)
            for text, end, unit in zip(texts, of_position, units, strict=True)
            if end is not None
        ]
        found[position] = Occurrences(
            texts=[text for text, _, _ in read],
            tokens=np.asarray([token for _, token, _ in read], dtype=np.int64),
            units=np.asarray([unit for _, _, unit in read], dtype=np.int64),
            n_units=n_units,
            ids=ids_of,
        )
    return found


def _token_at(text: str, end: int, spans: Sequence[tuple[int, int]]) -> int:
    """Return the number of the last token that begins before ``end`` characters.

    Some tokenizers leave out characters that they do not know, without a word, and count on as if
    these were not there: the last token then ends before the text does.
    """
    place = bisect_left(spans, (end,)) - 1
    is_whole = bool(spans) and spans[-1][1] >= _seen(text, len(text))
    if place < 0 or spans[place][1] < _seen(text, end) or not is_whole:
        raise StimulusError(
            "the model's tokenizer leaves out a part of a prompt, so where it is read is not known",
            where=f"the prompt {shortened(repr(text), 60)}, up to character {end}",
            expected="tokens that hold all of it, or one for the unknown",
            found=f"{len(spans)} tokens, of {spans[-1][1] if spans else 0} characters",
            remedy="take such characters out of the prompt, or choose another model",
        )
    return place


def _seen(text: str, end: int) -> int:
    """The characters up to ``end`` less, at their end, blanks, accents, and what cannot be seen.

    A token may end before these.
    """
    while end and unicodedata.category(text[end - 1])[0] in "ZMC":
        end -= 1
    return end


def rows_of_texts(
    texts: Mapping[str, Sequence[str]], names: Sequence[str], rows: Sequence[IntArray]
) -> dict[str, int]:
    """Return the row of the table of every text of the units."""
    return {
        text: row
        for name, of_unit in zip(names, rows, strict=True)
        for text, row in zip(texts[name], of_unit.tolist(), strict=True)
    }


def occurrences_in(
    tokenizer: ModelTokenizer, prompts: pl.DataFrame
) -> tuple[tuple[str, ...], dict[str, Occurrences]]:
    """Return the pairs of object prompts, sorted, and by position the tokens that are read.

    Unit half · (number of pairs) + pair counts the prompts of one half of a pair.
    """
    places = placed(prompts)
    names, n_units = places.names, len(HALVES) * len(places.names)
    return names, occurrences_at(
        tokenizer, places.texts, places.ends, places.units.tolist(), n_units
    )


def tokens_read(names: Sequence[str], positions: Mapping[str, Occurrences]) -> pl.DataFrame:
    """Return which tokens object prompts are read at: columns of `read_tokens.SCHEMA`, sorted.

    Both arguments are what `occurrences_in` gives.
    """
    tables = [read_tokens.SCHEMA.polars.to_frame()]
    for position, found in positions.items():
        places = zip(found.texts, found.tokens.tolist(), strict=True)
        half, pair = np.divmod(found.units, len(names))
        columns = {
            "position": [position] * len(found.texts),
            "half": np.asarray(HALVES)[half],
            "pair": np.asarray(names)[pair],
            "token": [int(found.ids[text][place]) for text, place in places],
        }
        key = read_tokens.SCHEMA.key
        counted = pl.DataFrame(columns).group_by(key).len("prompts")
        tables.append(counted.cast(read_tokens.SCHEMA.polars))
    return pl.concat(tables).sort(read_tokens.SCHEMA.key)


def by_pair(
    names: tuple[str, ...], readings: Mapping[str, PositionReadings]
) -> tuple[PositionActivations, ...]:
    """Return what was read at the positions of object prompts, by half and pair."""
    found = []
    for position in POSITIONS:
        read = readings[position]
        shape = (len(HALVES), len(names), *read.sums.shape[1:])
        found.append(
            PositionActivations(
                position,
                names,
                read.n_prompts.reshape(shape[:2]),
                read.sums.reshape(shape),
                read.counts.reshape(len(LEVELS), *shape),
                read.scale.values,
                read.scale.prompts,
            )
        )
    return tuple(found)
