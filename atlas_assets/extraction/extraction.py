"""Stage 12: sums and firing counts of every unit's layer readouts (card, "Stage 12").

For every unit (a pair, or a testable concept) over its n prompts, per layer:
``activation_sum = Σ|readout|`` and ``firing_count = #(|readout| > 0)``. Two readout positions:

- ``last_token``: the last real token of each prompt (what the card describes). A circuitgpt runs
  every distinct prefix of the prompts once (`extraction.tree_pass`); other networks run identical
  prompts once, in batches of similar length, padded on the right. The losses of the prompts come
  from the same pass, where they are wanted.
- ``published``: what the release did when it made the frozen files: one unit per batch of at most
  64, padded on the left, no attention mask, read at index (real tokens − 1) from the left, which
  is the last token only for a batch's longest prompt.

Readouts are added up on the network's device as they come, in float64, and rounded to float32
once (`extraction.reduction`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from atlas_assets.extraction import plain_pass
from atlas_assets.extraction import prompts as prompt_plan
from atlas_assets.extraction.batching import token_budget
from atlas_assets.extraction.prompts import IntArray, UnitPrompts
from atlas_assets.extraction.reduction import Doubles, UnitSums
from atlas_assets.extraction.shards import Arrays, ShardStore
from atlas_assets.extraction.tree_pass import NetworkPath, TreePass, plan_parts, runs_on_tree
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.progress import Progress, Track
from atlas_assets.stages.activations.activations import Activations

Readout = Literal["last_token", "published"]
Units = Mapping[str, Sequence[str]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PromptReadings:
    """What one pass over the prompts of units gives.

    Attributes:
        activations: sums and counts of all units.
        losses: per unit, float64 ``[prompts]`` in prompt order: ``sequence_loss`` in nats.
        lengths: per unit, int64 ``[prompts]``: tokens of the whole prompt.
    """

    activations: Activations
    losses: Mapping[str, Doubles]
    lengths: Mapping[str, IntArray]


def extract(
    model: LoadedModel,
    units: Units,
    *,
    readout: Readout = "last_token",
    batch_tokens: int | None = None,
    shards: ShardStore,
    progress: Progress,
    path: NetworkPath | None = None,
) -> Activations:
    """Run the prompts of all units and add their readouts up, per unit and layer.

    Args:
        model: a loaded causal LM.
        units: unit name → its prompts in order; each has at least one.
        readout: the position that is read.
        batch_tokens: for ``last_token``, budget of a batch in tokens, padding included, or most
            nodes of a chunk of the prefix tree; None leaves it to the device.
        shards: where finished work is kept; its fingerprint covers model identity, dtype,
            device and code, and is narrowed here to readout, prompts, batching and plan.
        progress: is told of prompts as they are run.
        path: how ``last_token`` runs the network; None takes the tree where the network can.

    Returns:
        Activations of all units, sorted by name.

    Raises:
        StimulusError: no units, a unit without prompts, or a prompt without tokens.
        ModelError: a prompt is longer than the network can take, or a readout is not finite.
        SettingsError: ``batch_tokens`` is below 1.
        ArtifactWriteError: finished work cannot be written.
    """
    prompts = prompt_plan.unit_prompts(model.tokenizer, units, max_positions=model.max_positions)
    task = _Task(model, prompts, readout, token_budget(batch_tokens, model.device.type), False)
    return _activations(prompts, task.run(shards, progress, path))


def read_prompts(
    model: LoadedModel,
    units: Units,
    *,
    batch_tokens: int | None = None,
    shards: ShardStore,
    progress: Progress,
    path: NetworkPath | None = None,
) -> PromptReadings:
    """Run all units' prompts once, for their readouts at the last token and for their losses.

    Arguments and errors are those of `extract`; a loss that is not finite is a ModelError too.
    """
    prompts = prompt_plan.unit_prompts(model.tokenizer, units, max_positions=model.max_positions)
    task = _Task(model, prompts, "last_token", token_budget(batch_tokens, model.device.type), True)
    done = task.run(shards, progress, path)
    losses = done.require_losses()
    return PromptReadings(
        activations=_activations(prompts, done),
        losses={
            name: losses[np.searchsorted(prompts.distinct, rows)]
            for name, rows in zip(prompts.names, prompts.rows, strict=True)
        },
        lengths={
            name: prompts.table.lengths[rows]
            for name, rows in zip(prompts.names, prompts.rows, strict=True)
        },
    )


def _activations(prompts: UnitPrompts, done: UnitSums) -> Activations:
    return Activations(
        names=prompts.names, n_prompts=prompts.n_prompts, sums=done.sums, counts=done.counts
    )


@dataclass(frozen=True)
class _Task:
    """What is to be read of which prompts."""

    model: LoadedModel
    prompts: UnitPrompts
    readout: Readout
    budget: int
    scored: bool

    def run(self, shards: ShardStore, progress: Progress, path: NetworkPath | None) -> UnitSums:
        """Everything, on the tree or shard by shard; losses by distinct prompt."""
        with progress.track(_n_runs(self.prompts, self.readout)) as track:
            if self.readout == "last_token" and runs_on_tree(self.model, path):
                store = self._narrow(shards, *plan_parts(self.model, self.budget))
                return TreePass(
                    self.model, self.prompts, self.scored, self.budget, store, track
                ).run()
            return self._by_shards(self._narrow(shards, *self._plain_parts()), track)

    def _by_shards(self, store: ShardStore, track: Track) -> UnitSums:
        shape = (len(self.prompts.names), self.model.n_layers, self.model.width)
        sums, counts = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.int32)
        losses = np.zeros(len(self.prompts.distinct)) if self.scored else None
        place = {name: index for index, name in enumerate(self.prompts.names)}
        for number, shard in enumerate(prompt_plan.shards(self.prompts, prompt_plan.SHARD_PROMPTS)):
            done = self._shard(f"{number:05d}", shard, store, track)
            where = [place[name] for name in shard.names]
            sums[where], counts[where] = done.sums, done.counts
            if losses is not None:
                losses[np.searchsorted(self.prompts.distinct, shard.distinct)] = (
                    done.require_losses()
                )
        return UnitSums(sums=sums, counts=counts, losses=losses)

    def _shard(self, key: str, shard: UnitPrompts, store: ShardStore, track: Track) -> UnitSums:
        """The shard's sums, from the store or computed and stored."""
        stored = self._stored(key, shard, store.get(key))
        if stored is not None:
            track.skip(_n_runs(shard, self.readout))
            return stored
        if self.readout == "published":
            done = plain_pass.published(self.model, shard, track)
        else:
            done = plain_pass.last_token(self.model, shard, self.budget, track, scored=self.scored)
        arrays: Arrays = {"sums": done.sums, "counts": done.counts, "n_prompts": shard.n_prompts}
        if done.losses is not None:
            arrays["losses"] = done.losses
        store.put(key, arrays)
        return done

    def _stored(self, key: str, shard: UnitPrompts, arrays: Arrays | None) -> UnitSums | None:
        """A stored shard, if it is one of this plan's."""
        if arrays is None:
            return None
        shape = (len(shard.names), self.model.n_layers, self.model.width)
        expected: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {
            "sums": (shape, np.dtype(np.float32)),
            "counts": (shape, np.dtype(np.int32)),
        }
        if self.scored:
            expected["losses"] = ((len(shard.distinct),), np.dtype(np.float64))
        found = {
            name: (arrays[name].shape, arrays[name].dtype)
            for name in expected.keys() & arrays.keys()
        }
        if found != expected:
            _log.warning("shard %s does not hold this plan's units and will be computed again", key)
            return None
        return UnitSums(
            sums=arrays["sums"].astype(np.float32),
            counts=arrays["counts"].astype(np.int32),
            losses=arrays["losses"].astype(np.float64) if self.scored else None,
        )

    def _narrow(self, shards: ShardStore, *parts: str) -> ShardStore:
        what = "extract and score" if self.scored else "extract"
        return shards.narrowed(what, self.readout, *parts, self.prompts.digest())

    def _plain_parts(self) -> tuple[str, ...]:
        return (
            f"plan {prompt_plan.PLAN_VERSION}, {prompt_plan.SHARD_PROMPTS} prompts",
            f"batch_tokens {self.budget}",
            f"{self.model.dtype} on {self.model.device.type}, torch {torch.__version__}",
            self.model.kernels,
        )


def _n_runs(prompts: UnitPrompts, readout: Readout) -> int:
    """How many sequences the network runs: every prompt, or each distinct one once."""
    if readout == "published":
        return int(prompts.n_prompts.sum())
    return len(prompts.distinct)
