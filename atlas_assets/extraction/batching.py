"""Batches of token sequences: how large, which ones together, padded, and on the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from atlas_assets.errors import SettingsError, expect
from atlas_assets.extraction.prompts import IntArray, TokenTable

#: on a CPU a batch should stay in the caches; larger ones were measured slower
CPU_BATCH_TOKENS = 2048
#: an accelerator needs enough work to fill it
ACCELERATOR_BATCH_TOKENS = 16384


def token_budget(batch_tokens: int | None, device_type: str) -> int:
    """Return the token budget of a batch: the caller's, or the default of the device.

    Raises:
        SettingsError: ``batch_tokens`` is below 1.
    """
    if batch_tokens is None:
        return CPU_BATCH_TOKENS if device_type == "cpu" else ACCELERATOR_BATCH_TOKENS
    expect(
        batch_tokens >= 1,
        SettingsError,
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
    """Pad sequences with ``pad_id`` on one side to the longest: int64 ``[rows, longest]``."""
    longest = int(table.lengths[rows].max())
    ids = np.full((len(rows), longest), pad_id, dtype=np.int64)
    for slot, row in enumerate(rows):
        sequence = table.sequence(int(row))
        start = longest - len(sequence) if side == "left" else 0
        ids[slot, start : start + len(sequence)] = sequence
    return ids


def placed(array: npt.NDArray[np.generic], device: torch.device) -> torch.Tensor:
    """Put an array on a device as a tensor of its dtype, without waiting for the device.

    For a GPU it goes through pinned memory, so that the copy is queued behind the work under way
    and the host goes on. On a CPU the memory is shared.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
