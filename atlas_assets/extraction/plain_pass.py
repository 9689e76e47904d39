"""Prompts in padded batches: the plain way, for any causal LM and for the release's readout."""

from __future__ import annotations

import numpy as np
import torch

from atlas_assets.extraction.batching import length_batches, mask_on_device, on_device, padded
from atlas_assets.extraction.losses import (
    LOGITS_PER_CALL,
    mean_losses,
    require_finite_losses,
    targets_of,
)
from atlas_assets.extraction.prompts import IntArray, TokenTable, UnitPrompts
from atlas_assets.extraction.readouts import call_options, run, tapped
from atlas_assets.extraction.reduction import Doubles, Reduction, UnitSums
from atlas_assets.extraction.workers import in_order
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.progress import Track

#: most prompts in a batch of the release
PUBLISHED_BATCH = 64


def last_token(
    model: LoadedModel, shard: UnitPrompts, batch_tokens: int, track: Track, *, scored: bool
) -> UnitSums:
    """Read each distinct prompt once, in right-padded batches of similar length.

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
    require_finite_losses(found, lambda bad: "unit {}, prompt {}".format(*holder(int(bad[0]))))
    done = reduction.finish()
    return UnitSums(sums=done.sums, counts=done.counts, losses=found if scored else None)


def published(model: LoadedModel, shard: UnitPrompts, track: Track) -> UnitSums:
    """Read prompts in the release's batches: of one unit, 64 at most, padded left, no mask.

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


def sequence_losses(
    model: LoadedModel, table: TokenTable, rows: IntArray, batch_tokens: int, track: Track
) -> Doubles:
    """Compute the mean loss of each listed sequence in right-padded batches of similar length.

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
        targets = on_device(model, targets_of(ids, real))
        with torch.inference_mode():
            logits = run(model.network, on_device(model, ids), mask, options).logits
            return mean_losses(logits, targets)

    def take(batch: IntArray, means: torch.Tensor) -> None:
        losses[on_device(model, batch)] = means
        track.advance(len(batch))

    in_order(length_batches(lengths, max(fitting, 1)), run_batch, take, device=model.device)
    return losses.cpu().numpy()
