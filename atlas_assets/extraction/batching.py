"""Batches of token sequences: which ones together, padded, and on the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from atlas_assets.extraction.prompts import IntArray, TokenTable


def length_batches(lengths: IntArray, batch_tokens: int) -> Iterator[IntArray]:
    """Yield indices of sequences of similar length whose padded batch has ≤ ``batch_tokens``.

    Longest first, so that the largest batch fails first where memory is short. A sequence longer
    than the budget gets a batch of its own.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        size = max(batch_tokens // longest, 1)
        yield order[start : start + size]
        start += size


def padded(
    table: TokenTable, rows: IntArray, pad_id: int | None, *, side: Literal["left", "right"]
) -> IntArray:
    """Pad sequences with ``pad_id`` on one side to the longest: int64 ``[rows, longest]``.

    Behind all real tokens of a causal network any id does, and None stands for 0.
    """
    longest = int(table.lengths[rows].max())
    ids = np.full((len(rows), longest), pad_id or 0, dtype=np.int64)
    for slot, row in enumerate(rows):
        sequence = table.sequence(int(row))
        start = longest - len(sequence) if side == "left" else 0
        ids[slot, start : start + len(sequence)] = sequence
    return ids


def placed(array: npt.NDArray[np.generic], device: torch.device) -> torch.Tensor:
    """Put an array on a device as a tensor of its dtype, without waiting for the device.

    For a GPU it goes through pinned memory, so that the copy waits in the queue of the device
    and the host goes on. On a CPU the memory is shared.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
