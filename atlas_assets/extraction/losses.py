"""Computes the loss of a prompt (docs/science.md, "Stage 11: scoring"), from logits or a tree.

``sequence_loss`` is the mean cross-entropy in nats of tokens 2..n given their prefix, without
special tokens, over the first 512 tokens; 50.0 for a prompt of fewer than 2 tokens.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import cross_entropy

from atlas_assets.extraction.batching import placed
from atlas_assets.extraction.passes import Doubles
from atlas_assets.extraction.prefix_tree import TreeChunk
from atlas_assets.extraction.prompts import IntArray

#: tokens of a prompt that are scored
MAX_SCORED_TOKENS = 512
#: loss of a prompt that has nothing to predict
LOSS_OF_SHORT_PROMPT = 50.0
#: logits of one call of the network (256 MiB in float32)
LOGITS_PER_CALL = 2**26
#: logits whose float32 log-softmax is held at a time (16 MiB)
LOGITS_PER_SLICE = 2**22
#: target of positions that are not scored
IGNORED = -100


def targets_of(ids: IntArray, real: npt.NDArray[np.bool_]) -> IntArray:
    """Return the next token's id at each position, or `IGNORED`: int64 ``[batch, tokens]``.

    ``ids`` are padded on the right, and ``real`` is true where they are not padding.
    """
    targets = np.full_like(ids, IGNORED)
    targets[:, :-1] = np.where(real[:, 1:], ids[:, 1:], IGNORED)
    targets[:, MAX_SCORED_TOKENS - 1 :] = IGNORED
    return targets


def mean_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Average the losses over each row's scored positions: float64 ``[batch]``, nats per token.

    Args:
        logits: ``[batch, tokens, vocabulary]``, taken to float32 by slices.
        targets: int64 ``[batch, tokens]``, as `targets_of` gives them.
    """
    batch, tokens, vocabulary = logits.shape
    rows = max(LOGITS_PER_SLICE // (tokens * vocabulary), 1)
    means = torch.zeros(batch, dtype=torch.float64, device=logits.device)
    for start in range(0, batch, rows):
        part = slice(start, start + rows)
        wanted = targets[part]
        flat = logits[part].flatten(0, 1).float()
        losses = cross_entropy(flat, wanted.flatten(), reduction="none", ignore_index=IGNORED)
        total = losses.view(wanted.shape).double().sum(dim=1)
        scored = (wanted != IGNORED).sum(dim=1)
        means[part] = torch.where(scored > 0, total / scored, LOSS_OF_SHORT_PROMPT)
    return means


def tree_losses(
    chunk: TreeChunk,
    tokens: torch.Tensor,
    logits_of: Callable[[slice], torch.Tensor],
    size: int,
) -> torch.Tensor:
    """Compute −log p in nats of each node's token given its parent's prefix.

    Args:
        chunk: the nodes.
        tokens: int64 ``[nodes]``, their tokens on the network's device.
        logits_of: gives the logits of a slice of ``chunk.inner``: float32 ``[some, vocabulary]``,
            which may be overwritten.
        size: logits that are asked for at a time, in nodes.

    Returns:
        float32 ``[nodes]``, 0 at a node without a parent.
    """
    device = tokens.device
    losses = torch.zeros(len(chunk), dtype=torch.float32, device=device)
    (children,) = np.nonzero(chunk.parents >= 0)
    children = children[np.argsort(chunk.parents[children], kind="stable")]
    slots = np.searchsorted(chunk.inner, chunk.parents[children])
    for start in range(0, len(chunk.inner), size):
        low, high = np.searchsorted(slots, (start, start + size))
        predicted, parents = (
            placed(part, device) for part in (children[low:high], slots[low:high] - start)
        )
        logits = logits_of(slice(start, start + size))
        # log Σ exp in place: the logits are by far the largest tensor here
        logits -= logits.amax(dim=-1, keepdim=True)
        wanted = logits[parents, tokens[predicted]]
        total = logits.exp_().sum(dim=-1).log_()
        losses[predicted] = total[parents] - wanted
    return losses


def tree_mean_losses(chunk: TreeChunk, losses: npt.NDArray[np.float32]) -> Doubles:
    """Average the losses of a tree's nodes over each sequence's scored tokens, in nats per token.

    Args:
        chunk: the sequences, for each of which there is a float64 average.
        losses: float32 ``[nodes]``, of each node given its parent's prefix.
    """
    exact = np.where(chunk.depths < MAX_SCORED_TOKENS, losses, 0).astype(np.float64)
    exact[chunk.parents < 0] = 0
    totals = np.zeros(len(chunk))
    bases = chunk.parents[chunk.starts[:-1]]
    for start, end, base in zip(chunk.starts[:-1], chunk.starts[1:], bases, strict=True):
        np.cumsum(exact[start:end], out=totals[start:end])
        if base >= 0:
            totals[start:end] += totals[base]
    predicted = np.minimum(chunk.depths[chunk.ends] + 1, MAX_SCORED_TOKENS) - 1
    means = totals[chunk.ends] / np.maximum(predicted, 1)
    return np.where(predicted > 0, means, LOSS_OF_SHORT_PROMPT)
