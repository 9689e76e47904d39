"""Prompts in padded batches: the plain way, for any causal LM and for the release's readout."""

from __future__ import annotations

import numpy as np
import torch

from atlas_assets.extraction.batching import IntArray, length_batches, padded
from atlas_assets.extraction.readouts import mask_on_device, on_device, tapped
from atlas_assets.extraction.reduction import Reduction, UnitSums
from atlas_assets.extraction.sequence_loss import (
    LOGITS_PER_CALL,
    loss_not_finite,
    mean_losses,
    targets_of,
)
from atlas_assets.extraction.shard_plan import UnitPrompts
from atlas_assets.extraction.workers import in_order
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.progress import Track

#: most prompts in a batch of the release
PUBLISHED_BATCH = 64


def last_token(
    model: LoadedModel, shard: UnitPrompts, batch_tokens: int, track: Track, *, scored: bool
) -> UnitSums:
    """Each distinct prompt once, in right-padded batches of similar length.

    Args:
        model: any causal LM.
        shard: units that share no prompt with others.
        batch_tokens: budget of a batch in tokens, padding included.
        track: is told of prompts as they are run.
        scored: also compute losses, from the logits of the same call.

    Raises:
        ModelError: a readout or a loss is not finite.
    """
    lengths = shard.table.lengths[shard.distinct]
    every_unit = np.arange(len(shard.names))
    reduction = Reduction(model, len(shard.names), len(lengths))
    losses = torch.zeros(len(lengths), dtype=torch.float64, device=model.device)
    if scored:
        batch_tokens = max(min(batch_tokens, LOGITS_PER_CALL // model.tokenizer.vocab_size), 1)

    def read(batch: IntArray) -> tuple[torch.Tensor, torch.Tensor | None]:
        ids = padded(shard.table, shard.distinct[batch], model.tokenizer.pad_id, side="right")
        real = np.arange(ids.shape[1]) < lengths[batch, None]
        last = on_device(model, lengths[batch] - 1)
        mask = mask_on_device(model, real)
        if not scored:
            return tap.read(on_device(model, ids), last, mask), None
        readouts, logits = tap.read_with_logits(on_device(model, ids), last, mask)
        with torch.inference_mode():
            return readouts, mean_losses(logits, on_device(model, targets_of(ids, real)))

    def take(batch: IntArray, result: tuple[torch.Tensor, torch.Tensor | None]) -> None:
        readouts, means = result
        weights = shard.multiplicity[:, batch].toarray()
        reduction.add(readouts, weights, every_unit, batch)
        if means is not None:
            losses[on_device(model, batch)] = means
        track.advance(len(batch))

    def holder(run: int) -> tuple[str, int]:
        return shard.holder(int(shard.distinct[run]))

    with tapped(model) as tap:
        in_order(length_batches(lengths, batch_tokens), read, take, device=model.device)
    reduction.require_finite(holder)
    found = losses.cpu().numpy()
    unsound = np.flatnonzero(~np.isfinite(found))
    if unsound.size:
        unit, prompt = holder(int(unsound[0]))
        raise loss_not_finite(f"unit {unit}, prompt {prompt}")
    done = reduction.finish()
    return UnitSums(sums=done.sums, counts=done.counts, losses=found if scored else None)


def published(model: LoadedModel, shard: UnitPrompts, track: Track) -> UnitSums:
    """The release's batches: one unit's prompts in order, 64 at most, left padding, no mask.

    Arguments and errors as in `last_token`.
    """
    first = np.concatenate([[0], np.cumsum(shard.n_prompts)])
    batches = [
        (unit, np.arange(start, min(start + PUBLISHED_BATCH, len(rows))))
        for unit, rows in enumerate(shard.rows)
        for start in range(0, len(rows), PUBLISHED_BATCH)
    ]
    reduction = Reduction(model, len(shard.names), int(first[-1]))

    def read(batch: tuple[int, IntArray]) -> torch.Tensor:
        unit, prompts = batch
        rows = shard.rows[unit][prompts]
        ids = padded(shard.table, rows, model.tokenizer.pad_id, side="left")
        return tap.read(on_device(model, ids), on_device(model, shard.table.lengths[rows] - 1))

    def take(batch: tuple[int, IntArray], readouts: torch.Tensor) -> None:
        unit, prompts = batch
        weights = np.ones((1, len(prompts)))
        reduction.add(readouts, weights, np.asarray([unit]), first[unit] + prompts)
        track.advance(len(prompts))

    def holder(run: int) -> tuple[str, int]:
        unit = int(np.searchsorted(first, run, side="right")) - 1
        return shard.names[unit], run - int(first[unit])

    with tapped(model) as tap:
        in_order(batches, read, take, device=model.device)
    reduction.require_finite(holder)
    return reduction.finish()
