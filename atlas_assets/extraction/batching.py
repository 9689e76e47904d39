"""Token sequences in batches: each distinct one once, of similar length together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from atlas_assets.errors import SettingsError
from atlas_assets.stages.prompts.tokens import CorpusTokenizer

IntArray = npt.NDArray[np.int64]
#: on a CPU a batch should stay in the caches; larger ones were measured slower
CPU_BATCH_TOKENS = 2048
#: an accelerator needs enough work to fill it
ACCELERATOR_BATCH_TOKENS = 16384
#: texts given to the tokenizer at a time
TEXTS_PER_CALL = 4096


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
        """int64 ``[sequences]``: tokens per sequence."""
        return np.diff(self.offsets)

    def sequence(self, row: int) -> npt.NDArray[np.int32]:
        """The token ids of one sequence."""
        return self.tokens[self.offsets[row] : self.offsets[row + 1]]

    def truncated(self, limit: int) -> TokenTable:
        """The first ``limit`` tokens of every sequence (no longer distinct where one was cut)."""
        kept = [self.sequence(row)[:limit] for row in range(len(self))]
        return _flat(kept)

    def digest(self) -> str:
        """SHA-256 over all ids and where the sequences begin."""
        digest = hashlib.sha256(self.offsets.astype("<i8").tobytes())
        digest.update(self.tokens.astype("<i4").tobytes())
        return digest.hexdigest()


def tokenize(tokenizer: CorpusTokenizer, texts: Iterable[str]) -> tuple[TokenTable, IntArray]:
    """Encode ``texts`` without special tokens, identical sequences once.

    Returns:
        The distinct sequences in order of first appearance, and int64 ``[texts]``: the row of
        each text's sequence.
    """
    texts = list(texts)
    row_of_text: dict[str, int] = {}
    row_of_ids: dict[bytes, int] = {}
    sequences: list[npt.NDArray[np.int32]] = []
    distinct = list(dict.fromkeys(texts))
    for start in range(0, len(distinct), TEXTS_PER_CALL):
        some = distinct[start : start + TEXTS_PER_CALL]
        for text, encoded in zip(some, tokenizer.encode_all(some), strict=True):
            ids = np.asarray(encoded, dtype=np.int32)
            row = row_of_ids.setdefault(ids.tobytes(), len(sequences))
            if row == len(sequences):
                sequences.append(ids)
            row_of_text[text] = row
    rows = [row_of_text[text] for text in texts]
    return _flat(sequences), np.asarray(rows, dtype=np.int64)


def token_budget(batch_tokens: int | None, device_type: str) -> int:
    """The token budget of a batch: the caller's, or the default of the device.

    Args:
        batch_tokens: the caller's choice; None leaves it to the device.
        device_type: ``cpu``, ``cuda``, …

    Raises:
        SettingsError: ``batch_tokens`` is below 1.
    """
    if batch_tokens is None:
        return CPU_BATCH_TOKENS if device_type == "cpu" else ACCELERATOR_BATCH_TOKENS
    if batch_tokens < 1:
        raise SettingsError(
            "the token budget of a batch is out of range",
            where="batch_tokens",
            expected="at least 1",
            found=str(batch_tokens),
            remedy="choose a larger budget, such as 2048",
        )
    return batch_tokens


def length_batches(lengths: IntArray, batch_tokens: int) -> Iterator[IntArray]:
    """Group sequences of similar length so that a padded batch has at most ``batch_tokens``.

    Longest first, so that the largest batch fails first where memory is short. A sequence longer
    than the budget gets a batch of its own.

    Args:
        lengths: int64 ``[sequences]``.
        batch_tokens: budget of a batch, at least 1, padding included.

    Yields:
        int64 indices into ``lengths``; together each index once.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        size = max(batch_tokens // longest, 1)
        yield order[start : start + size]
        start += size


def padded(
    table: TokenTable, rows: IntArray, pad_id: int, *, side: Literal["left", "right"]
) -> IntArray:
    """int64 ``[rows, longest]``: the sequences, with ``pad_id`` on one side of shorter ones."""
    longest = int(table.lengths[rows].max())
    ids = np.full((len(rows), longest), pad_id, dtype=np.int64)
    for slot, row in enumerate(rows):
        sequence = table.sequence(int(row))
        start = longest - len(sequence) if side == "left" else 0
        ids[slot, start : start + len(sequence)] = sequence
    return ids


def _flat(sequences: list[npt.NDArray[np.int32]]) -> TokenTable:
    offsets = np.zeros(len(sequences) + 1, dtype=np.int64)
    np.cumsum([len(ids) for ids in sequences], out=offsets[1:])
    tokens = np.concatenate(sequences) if sequences else np.zeros(0, dtype=np.int32)
    return TokenTable(tokens=tokens, offsets=offsets)
