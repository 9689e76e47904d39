"""Sequence losses: how likely the model finds each prompt (docs/science.md, "Stage 11: scoring").

``sequence_loss`` is the mean cross-entropy in nats of tokens 2..n given their prefix, without
special tokens, over the first 512 tokens; 50.0 for a prompt of fewer than 2 tokens.
``token_length`` is the number of tokens of the whole prompt, however long.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from atlas_assets.errors import ModelError
from atlas_assets.extraction.batching import token_budget
from atlas_assets.extraction.losses import (
    LOGITS_PER_CALL,
    LOSS_OF_SHORT_PROMPT,
    MAX_SCORED_TOKENS,
    require_finite_losses,
)
from atlas_assets.extraction.plain_pass import sequence_losses
from atlas_assets.extraction.prompts import IntArray, TokenTable, UnitPrompts, tokenize
from atlas_assets.extraction.reduction import Doubles
from atlas_assets.extraction.shards import Arrays, ShardStore
from atlas_assets.extraction.tree_pass import NetworkPath, TreePass, plan_parts, runs_on_tree
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.progress import Progress, Track

#: distinct prompts in one shard
SHARD_PROMPTS = 2048
#: raise it when the plan or the arithmetic changes
PLAN_VERSION = 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Scores:
    """Losses and lengths of texts, in their order.

    Attributes:
        losses: float64 ``[texts]``, nats per token.
        lengths: int64 ``[texts]``, tokens of the whole text.
    """

    losses: Doubles
    lengths: IntArray


def score(
    model: LoadedModel,
    texts: Sequence[str],
    *,
    batch_tokens: int | None = None,
    shards: ShardStore,
    progress: Progress,
    path: NetworkPath | None = None,
) -> Scores:
    """Compute the loss of every text, running identical ones once.

    A circuitgpt runs on the prefix tree of all texts, other networks on right-padded batches of
    texts of similar length.

    Args:
        model: a loaded causal LM.
        texts: any number of prompts.
        batch_tokens: budget of a batch in tokens, padding included, or most nodes of a chunk of
            the tree; None leaves it to the device. Large vocabularies get smaller batches.
        shards: where finished shards are kept; its fingerprint covers model identity, dtype,
            device and code, and is narrowed here to prompts, batching and plan.
        progress: is told of prompts as they are run.
        path: how the network runs; None takes the tree where the network can.

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
    losses = np.full(len(table), LOSS_OF_SHORT_PROMPT)
    (scored,) = np.nonzero(table.lengths > 1)
    with progress.track(len(scored)) as track:
        run = _Run(model, table, scored, row_of_text, budget, shards, track)
        if len(scored):
            losses[scored] = run.on_tree() if runs_on_tree(model, path) else run.in_batches()
    return Scores(losses=losses[row_of_text], lengths=whole.lengths[row_of_text])


@dataclass(frozen=True)
class _Run:
    """One scoring under way, of the rows ``scored`` of ``table``."""

    model: LoadedModel
    table: TokenTable
    scored: IntArray
    row_of_text: IntArray
    budget: int
    shards: ShardStore
    track: Track

    def on_tree(self) -> Doubles:
        parts = plan_parts(self.model, self.budget)
        store = self.shards.narrowed("score", *parts, self.table.digest())
        prompts = UnitPrompts(("all prompts",), self.table, (self.scored,))
        task = TreePass(self.model, prompts, True, self.budget, store, self.track, self._holder)
        return task.run().require_losses()

    def _holder(self, row: int) -> tuple[str, int]:
        """The first text that is a row of the table."""
        return "all prompts", int(np.flatnonzero(self.row_of_text == row)[0])

    def _where(self, rows: IntArray, unsound: IntArray) -> str:
        """Name the first text that is not sound, by indices in ``rows``."""
        return f"prompt {np.flatnonzero(np.isin(self.row_of_text, rows[unsound]))[0]}"

    def in_batches(self) -> Doubles:
        store = _narrow(self.shards, self.model, self.budget, self.table)
        parts = []
        for start in range(0, len(self.scored), SHARD_PROMPTS):
            rows = self.scored[start : start + SHARD_PROMPTS]
            key = f"{start // SHARD_PROMPTS:05d}"
            stored = _sound(store.get(key), key, rows)
            if stored is None:
                stored = sequence_losses(self.model, self.table, rows, self.budget, self.track)
                require_finite_losses(stored, partial(self._where, rows))
                store.put(key, {"losses": stored})
            else:
                self.track.skip(len(rows))
            parts.append(stored)
        return np.concatenate(parts)


def _sound(arrays: Arrays | None, key: str, rows: IntArray) -> Doubles | None:
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
        model.kernels,
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
