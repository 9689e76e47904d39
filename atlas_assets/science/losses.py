"""Sequence losses: how likely the model finds each prompt (docs/science.md, "Stage 11: scoring").

``sequence_loss`` is the mean cross-entropy in nats of tokens 2..n given their prefix, without
special tokens, over the first 512 tokens; 50.0 for a prompt of fewer than 2 tokens.
``token_length`` is the number of tokens of the whole prompt, however long.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import cross_entropy

from atlas_assets.errors import ModelError
from atlas_assets.formats.shards import Arrays, ShardStore
from atlas_assets.progress import Progress, Track
from atlas_assets.science.batching import (
    IntArray,
    TokenTable,
    length_batches,
    padded,
    token_budget,
    tokenize,
)
from atlas_assets.science.readouts import call_options, mask_on_device, on_device, run
from atlas_assets.science.workers import in_order

if TYPE_CHECKING:
    from atlas_assets.models.loaded import LoadedModel

#: tokens of a prompt that are scored
MAX_SCORED_TOKENS = 512
#: loss of a prompt that has nothing to predict
LOSS_OF_SHORT_PROMPT = 50.0
#: logits of one call of the network (256 MiB in float32)
LOGITS_PER_CALL = 2**26
#: logits whose float32 log-softmax is held at a time (16 MiB)
LOGITS_PER_SLICE = 2**22
#: distinct prompts in one shard
SHARD_PROMPTS = 2048
#: raise it when the plan or the arithmetic changes
PLAN_VERSION = 1
#: target of positions that are not scored
IGNORED = -100

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of texts, in their order.

    Attributes:
        losses: float64 ``[texts]``, nats per token.
        lengths: int64 ``[texts]``, tokens of the whole text.
    """

    losses: npt.NDArray[np.float64]
    lengths: IntArray


def score(
    model: LoadedModel,
    texts: Sequence[str],
    *,
    batch_tokens: int | None = None,
    shards: ShardStore,
    progress: Progress,
) -> Scores:
    """Score texts, identical ones once, in right-padded batches of similar length.

    Args:
        model: a loaded causal LM.
        texts: any number of prompts.
        batch_tokens: budget of a batch in tokens, padding included; None leaves it to the device.
            Large vocabularies get smaller batches.
        shards: where finished shards are kept; its fingerprint covers model identity, dtype,
            device and code, and is narrowed here to prompts, batching and plan.
        progress: is told of prompts as they are run.

    Raises:
        ModelError: a text's scored part is longer than the network can take, or a loss is not
            finite.
        SettingsError: ``batch_tokens`` is below 1.
        ArtifactWriteError: a shard cannot be written.
    """
    budget = token_budget(batch_tokens, model.device.type)
    whole, row_of_text = tokenize(model.tokenizer, texts)
    table = whole.truncated(MAX_SCORED_TOKENS)
    _require_fit(model, table, row_of_text)
    store = _narrow(shards, model, budget, table)
    losses = np.full(len(table), LOSS_OF_SHORT_PROMPT)
    (scored,) = np.nonzero(table.lengths > 1)
    with progress.track(len(scored)) as track:
        for start in range(0, len(scored), SHARD_PROMPTS):
            rows = scored[start : start + SHARD_PROMPTS]
            key = f"{start // SHARD_PROMPTS:05d}"
            stored = _sound(store.get(key), key, rows)
            if stored is None:
                stored = sequence_losses(model, table, rows, budget, track)
                _require_finite(stored, rows, row_of_text)
                store.put(key, {"losses": stored})
            else:
                track.skip(len(rows))
            losses[rows] = stored
    return Scores(losses=losses[row_of_text], lengths=whole.lengths[row_of_text])


def sequence_losses(
    model: LoadedModel, table: TokenTable, rows: IntArray, batch_tokens: int, track: Track
) -> npt.NDArray[np.float64]:
    """Mean loss of each listed sequence.

    Args:
        model: a loaded causal LM.
        table: the sequences.
        rows: int64 ``[sequences]``, rows of ``table``, each of at least 2 tokens.
        batch_tokens: budget of a batch.
        track: is told of prompts as they are run.

    Returns:
        float64 ``[sequences]`` in nats per token.
    """
    lengths = table.lengths[rows]
    fitting = min(batch_tokens, LOGITS_PER_CALL // model.tokenizer.vocab_size)
    losses = torch.zeros(len(rows), dtype=torch.float64, device=model.device)
    options = call_options(model.network)

    def run_batch(batch: IntArray) -> torch.Tensor:
        ids = padded(table, rows[batch], model.tokenizer.pad_id, side="right")
        real = np.arange(ids.shape[1]) < lengths[batch, None]
        mask = mask_on_device(model, real)
        targets = on_device(model, _targets(ids, real))
        with torch.inference_mode():
            logits = run(model.network, on_device(model, ids), mask, options).logits
            return _mean_losses(logits, targets)

    def take(batch: IntArray, means: torch.Tensor) -> None:
        losses[on_device(model, batch)] = means
        track.advance(len(batch))

    in_order(length_batches(lengths, max(fitting, 1)), run_batch, take, device=model.device)
    return losses.cpu().numpy()


def _targets(ids: IntArray, real: npt.NDArray[np.bool_]) -> IntArray:
    """int64 ``[batch, tokens]``: at each position the next token's id, or IGNORED."""
    targets = np.full_like(ids, IGNORED)
    targets[:, :-1] = np.where(real[:, 1:], ids[:, 1:], IGNORED)
    return targets


def _mean_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """float64 ``[batch]``: mean over scored positions, the log-softmax in float32 by slices."""
    batch, tokens, vocabulary = logits.shape
    rows = max(LOGITS_PER_SLICE // (tokens * vocabulary), 1)
    means = torch.zeros(batch, dtype=torch.float64, device=logits.device)
    for start in range(0, batch, rows):
        part = slice(start, start + rows)
        wanted = targets[part]
        flat = logits[part].flatten(0, 1).float()
        losses = cross_entropy(flat, wanted.flatten(), reduction="none", ignore_index=IGNORED)
        total = losses.view(wanted.shape).double().sum(dim=1)
        means[part] = total / (wanted != IGNORED).sum(dim=1)
    return means


def _sound(arrays: Arrays | None, key: str, rows: IntArray) -> npt.NDArray[np.float64] | None:
    if arrays is None:
        return None
    losses = arrays.get("losses")
    if losses is None or losses.shape != rows.shape or losses.dtype != np.float64:
        _log.warning("shard %s does not hold this plan's prompts and will be computed again", key)
        return None
    return losses.astype(np.float64)


def _narrow(
    shards: ShardStore, model: LoadedModel, batch_tokens: int, table: TokenTable
) -> ShardStore:
    return shards.narrowed(
        "score",
        f"plan {PLAN_VERSION}, {SHARD_PROMPTS} prompts",
        f"batch_tokens {batch_tokens}, {LOGITS_PER_CALL} logits",
        f"{model.dtype} on {model.device.type}, torch {torch.__version__}",
        table.digest(),
    )


def _require_fit(model: LoadedModel, table: TokenTable, row_of_text: IntArray) -> None:
    (long,) = np.nonzero(table.lengths[row_of_text] > model.max_positions)
    if long.size:
        raise ModelError(
            "a prompt's scored part is longer than the network can take",
            where=f"prompt {long[0]}",
            expected=f"at most {model.max_positions} tokens",
            found=f"{table.lengths[row_of_text[long[0]]]} tokens",
            remedy="shorten the prompt or choose a model with more positions",
        )


def _require_finite(losses: npt.NDArray[np.float64], rows: IntArray, row_of_text: IntArray) -> None:
    unsound = rows[~np.isfinite(losses)]
    if unsound.size:
        text = int(np.flatnonzero(np.isin(row_of_text, unsound))[0])
        raise ModelError(
            "the loss of a prompt is not finite",
            where=f"prompt {text}",
            expected="a finite number of nats",
            found="NaN or infinity",
            remedy="use a wider dtype (ATLAS_DTYPE=bfloat16 or float32), or check the checkpoint",
        )
