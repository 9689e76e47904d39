"""The prompts of units as token sequences, each distinct one once, and how they fall into shards.

A prompt that several units hold is run once, so these units must be finished together. In the
published grid texts repeat within one AST node only, and the groups stay small.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csc_array
from scipy.sparse.csgraph import connected_components

from atlas_assets.errors import ModelError, StimulusError, expect
from atlas_assets.stages.prompts.tokens import CorpusTokenizer

IntArray = npt.NDArray[np.int64]
TokenIds = npt.NDArray[np.int32]
#: texts given to the tokenizer at a time
TEXTS_PER_CALL = 4096


class LongPromptError(ModelError):
    """A prompt has more tokens than the network can take."""


@dataclass(frozen=True, eq=False)
class TokenTable:
    """Distinct token sequences, end to end in one array.

    Attributes:
        tokens: int32 ``[total tokens]``, token ids.
        offsets: int64 ``[sequences + 1]``; sequence i is ``tokens[offsets[i]:offsets[i + 1]]``.
    """

    tokens: npt.NDArray[np.int32]
    offsets: IntArray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> IntArray:
        """The number of tokens of each sequence, int64 ``[sequences]``."""
        return np.diff(self.offsets)

    def sequence(self, row: int) -> npt.NDArray[np.int32]:
        """Return the token ids of one sequence, int32 ``[tokens]``."""
        return self.tokens[self.offsets[row] : self.offsets[row + 1]]

    def truncated(self, limits: int | IntArray) -> TokenTable:
        """Keep so many first tokens of every sequence, or of each; cut ones may then be equal."""
        each = np.broadcast_to(limits, len(self)).tolist()
        return table_of([self.sequence(row)[:limit] for row, limit in enumerate(each)])


def tokenize(
    tokenizer: CorpusTokenizer,
    texts: Iterable[str],
    known: Mapping[str, TokenIds] = MappingProxyType({}),
) -> tuple[TokenTable, IntArray]:
    """Encode ``texts``, each after the tokenizer's prefix, identical sequences once.

    The result is the distinct sequences in order of first appearance, and int64 ``[texts]``: the
    row of each text's sequence. Texts of which the ids are ``known`` are not encoded again.
    """
    texts = list(texts)
    row_of_text: dict[str, int] = {}
    row_of_ids: dict[bytes, int] = {}
    sequences: list[TokenIds] = []
    prefix = np.asarray(tokenizer.prefix, dtype=np.int32)
    distinct = list(dict.fromkeys(texts))
    for start in range(0, len(distinct), TEXTS_PER_CALL):
        some = distinct[start : start + TEXTS_PER_CALL]
        unknown = [text for text in some if text not in known]
        encoded = tokenizer.encode_all(unknown) if unknown else ()
        new = dict(zip(unknown, encoded, strict=True))
        for text in some:
            ids = np.asarray(new[text] if text in new else known[text], dtype=np.int32)
            ids = np.concatenate([prefix, ids]) if len(ids) else ids
            row = row_of_ids.setdefault(ids.tobytes(), len(sequences))
            if row == len(sequences):
                sequences.append(ids)
            row_of_text[text] = row
    rows = [row_of_text[text] for text in texts]
    return table_of(sequences), np.asarray(rows, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class UnitPrompts:
    """Units and the token sequences of their prompts.

    Attributes:
        names: unit names, sorted.
        table: the distinct sequences of all units.
        rows: per unit, int64 ``[prompts]``: each prompt's row of ``table``, in prompt order.
    """

    names: tuple[str, ...]
    table: TokenTable
    rows: tuple[IntArray, ...]

    @property
    def n_prompts(self) -> npt.NDArray[np.int32]:
        """The number of prompts of each unit, int32 ``[units]``, repeated ones included."""
        return np.asarray([len(rows) for rows in self.rows], dtype=np.int32)

    @cached_property
    def distinct(self) -> IntArray:
        """The rows of ``table`` that these units use, int64, sorted."""
        return np.unique(np.concatenate(self.rows))

    @cached_property
    def multiplicity(self) -> csc_array:
        """How often each unit holds each distinct prompt, float64 ``[units, distinct]``."""
        units = np.repeat(np.arange(len(self.names)), self.n_prompts)
        columns = np.searchsorted(self.distinct, np.concatenate(self.rows))
        shape = (len(self.names), len(self.distinct))
        # duplicates are added up, which makes them counts
        return csc_array(coo_array((np.ones(len(units)), (units, columns)), shape=shape))

    def select(self, units: Sequence[int]) -> Self:
        """Select some of the units by index; the table stays the same."""
        names, rows = zip(*((self.names[unit], self.rows[unit]) for unit in units), strict=True)
        return replace(self, names=names, rows=rows)

    def compact(self) -> UnitPrompts:
        """Return the units with a table of their own sequences alone, in the same order."""
        sequences = [self.table.sequence(row) for row in self.distinct.tolist()]
        rows = tuple(np.searchsorted(self.distinct, of_unit) for of_unit in self.rows)
        return UnitPrompts(self.names, table_of(sequences), rows)

    def where(self, row: int) -> str:
        """Name the first unit that holds sequence ``row``, and the prompt's place in it."""
        return next(
            f"unit {name}, prompt {np.flatnonzero(rows == row)[0]}"
            for name, rows in zip(self.names, self.rows, strict=True)
            if row in rows
        )

    def digest(self) -> str:
        """Return the SHA-256 over unit names, their prompts' order and all token ids."""
        table = hashlib.sha256(self.table.offsets.astype("<i8").tobytes())
        table.update(self.table.tokens.astype("<i4").tobytes())
        digest = hashlib.sha256(table.hexdigest().encode())
        for name, rows in zip(self.names, self.rows, strict=True):
            digest.update(f"\0{name}\0{len(rows)}\0".encode())
            digest.update(rows.astype("<i8").tobytes())
        return digest.hexdigest()


def unit_prompts(
    tokenizer: CorpusTokenizer,
    units: Mapping[str, Sequence[str]],
    *,
    max_positions: int,
    known: Mapping[str, TokenIds] = MappingProxyType({}),
) -> UnitPrompts:
    """Encode the prompts (unit name → its prompts in order) of all units, but those ``known``.

    Raises:
        StimulusError: there are no units, a unit has no prompts, or a prompt has no tokens.
        LongPromptError: a prompt has more than ``max_positions`` tokens.
    """
    names = tuple(sorted(units))
    empty = [name for name in names if not units[name]]
    expect(
        bool(names) and not empty,
        StimulusError,
        "there are no prompts to run",
        where=f"unit {empty[0]}" if empty else None,
        expected="at least one unit, each with at least one prompt",
        found="0 prompts" if empty else "0 units",
        remedy="materialise the prompts again, or take the unit out",
    )
    table, rows = tokenize(tokenizer, (text for name in names for text in units[name]), known)
    ends = np.cumsum([len(units[name]) for name in names])
    prompts = UnitPrompts(names, table, tuple(np.split(rows, ends[:-1])))
    if not table.lengths.all():
        raise StimulusError(
            "a prompt has no tokens, so it has no last token to read",
            where=prompts.where(int(table.lengths.argmin())),
            expected="at least one token",
            found="0 tokens",
            remedy="take the prompt out, or check the tokenizer",
        )
    require_fit(prompts, max_positions, "a prompt")
    return prompts


def require_fit(prompts: UnitPrompts, max_positions: int, what: str) -> None:
    """Refuse sequences longer than the network can take: LongPromptError, which names the prompt.

    ``what`` is what a sequence is, for the message.
    """
    (long,) = np.nonzero(prompts.table.lengths > max_positions)
    if long.size:
        raise LongPromptError(
            f"{what} is longer than the network can take",
            where=prompts.where(int(long[0])),
            expected=f"at most {max_positions} tokens",
            found=f"{prompts.table.lengths[long[0]]} tokens",
            remedy="shorten the prompt or choose a model with more positions",
        )


def cut_into_shards(
    prompts: UnitPrompts, target: int, most_units: int | None = None
) -> Iterator[UnitPrompts]:
    """Cut the units into shards such that no prompt occurs in two of them.

    Units are connected when they share a prompt; the connected groups, ordered by their first
    unit's name, are packed until a shard holds ``target`` distinct prompts, or ``most_units``. The
    result depends on the prompts alone.
    """
    incidence = prompts.multiplicity
    _, labels = connected_components(incidence @ incidence.T, directed=False)
    groups: dict[int, list[int]] = {}
    for unit, label in enumerate(labels.tolist()):
        groups.setdefault(label, []).append(unit)
    packed: list[int] = []
    held = 0
    for group in groups.values():
        packed += group
        held += len(prompts.select(group).distinct)
        if held >= target or (most_units is not None and len(packed) >= most_units):
            yield prompts.select(sorted(packed))
            packed, held = [], 0
    if packed:
        yield prompts.select(sorted(packed))


def table_of(sequences: list[npt.NDArray[np.int32]]) -> TokenTable:
    """Put sequences of token ids end to end."""
    offsets = np.zeros(len(sequences) + 1, dtype=np.int64)
    np.cumsum([len(ids) for ids in sequences], out=offsets[1:])
    tokens = np.concatenate(sequences) if sequences else np.zeros(0, dtype=np.int32)
    return TokenTable(tokens=tokens, offsets=offsets)
