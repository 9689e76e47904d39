"""What the loss of a prompt is (docs/science.md, "Stage 11: scoring"), from logits.

``sequence_loss`` is the mean cross-entropy in nats of tokens 2..n given their prefix, without
special tokens, over the first 512 tokens; 50.0 for a prompt of fewer than 2 tokens.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import cross_entropy

from atlas_assets.errors import ModelError
from atlas_assets.extraction.batching import IntArray

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
    """int64 ``[batch, tokens]``: at each position the next token's id, or `IGNORED`.

    Args:
        ids: int64 ``[batch, tokens]``, padded on the right.
        real: bool ``[batch, tokens]``, where they are not padding.
    """
    targets = np.full_like(ids, IGNORED)
    targets[:, :-1] = np.where(real[:, 1:], ids[:, 1:], IGNORED)
    targets[:, MAX_SCORED_TOKENS - 1 :] = IGNORED
    return targets


def mean_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """float64 ``[batch]``: mean over scored positions, the log-softmax in float32 by slices.

    Args:
        logits: ``[batch, tokens, vocabulary]``.
        targets: see `targets_of`.
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


def loss_not_finite(where: str) -> ModelError:
    """The error for a loss that is NaN or infinite."""
    return ModelError(
        "the loss of a prompt is not finite",
        where=where,
        expected="a finite number of nats",
        found="NaN or infinity",
        remedy="use a wider dtype (ATLAS_DTYPE=bfloat16 or float32), or check the checkpoint",
    )
