"""Sequence losses: how likely the model finds each prompt (docs/science.md, "Stage 11: scoring").

`extraction.losses` says what the loss of a prompt is. ``token_length`` is the number of tokens of
the whole prompt, however long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from atlas_assets.extraction.extraction import NetworkPath, run_pass
from atlas_assets.extraction.losses import LOSS_OF_SHORT_PROMPT, MAX_SCORED_TOKENS
from atlas_assets.extraction.passes import Doubles
from atlas_assets.extraction.prompts import IntArray, UnitPrompts, require_fit, tokenize
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.progress import Progress

#: distinct prompts that are run as one unit, which in padded batches makes them one shard
UNIT_PROMPTS = 2048


@dataclass(frozen=True, eq=False)
class Scores:
    """Losses and lengths of texts, in their order.

    Attributes:
        losses: float64 ``[texts]``, nats per token.
        lengths: int64 ``[texts]``, tokens of the whole text.
    """

    losses: Doubles
    lengths: IntArray


@dataclass(frozen=True, eq=False)
class _Texts(UnitPrompts):
    """Distinct texts in units of a fixed size, which stand for nothing.

    Attributes:
        row_of_text: int64 ``[texts]``, each text's row of the table.
    """

    row_of_text: IntArray

    def where(self, row: int) -> str:
        """Name the first text of a row."""
        return f"prompt {np.flatnonzero(self.row_of_text == row)[0]}"


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
        shards: where finished work is kept, as for `extract`.
        progress: is told of prompts as they are run.
        path: how the network runs; None takes the tree where the network can.

    Raises:
        ModelError: a text's scored part is longer than the network can take, or a readout or a
            loss is not finite.
        SettingsError: ``batch_tokens`` is below 1.
        ArtifactWriteError: finished work cannot be written.
    """
    whole, row_of_text = tokenize(model.tokenizer, texts)
    table = whole.truncated(MAX_SCORED_TOKENS)
    (scored,) = np.nonzero(table.lengths > 1)
    units = np.split(scored, range(UNIT_PROMPTS, len(scored), UNIT_PROMPTS))
    names = tuple(f"{number:05d}" for number in range(len(units)))
    prompts = _Texts(names, table, tuple(units), row_of_text)
    require_fit(prompts, model.max_positions, "a prompt's scored part")
    losses = np.full(len(table), LOSS_OF_SHORT_PROMPT)
    if len(scored):
        losses[scored] = run_pass(
            model,
            prompts,
            scored=True,
            batch_tokens=batch_tokens,
            shards=shards,
            progress=progress,
            path=path,
        ).losses
    return Scores(losses=losses[row_of_text], lengths=whole.lengths[row_of_text])
