"""Runs a network over prompts: readouts for stage 12, losses for stage 11, or both in one pass.

Stage 12 (card, "Stage 12"): for every unit (a pair, or a testable concept) over its n prompts, per
layer: ``activation_sum = Σ|readout|`` and ``firing_count = #(|readout| > 0)``. Two positions:

- ``last_token``: the last real token of each prompt (what the card describes). A network runs
  every distinct prefix of the prompts once (`extraction.tree_pass`); one that cannot
  (`extraction.tree_probe`) runs identical prompts once, in batches of similar length, padded on the
  right. The losses of the prompts come from the same pass, where they are wanted.
- ``published``: what the release did when it made the frozen files: one unit per batch of at most
  64, padded on the left, no attention mask, read at index (real tokens − 1) from the left, which
  is the last token only for a batch's longest prompt.

Stage 11 (docs/science.md, "Stage 11: scoring"): the loss of each prompt (`extraction.losses`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, NotRequired, TypedDict, Unpack

import numpy as np

from atlas_assets.extraction import plain_pass, tree_model, tree_pass, tree_probe, unit_shards
from atlas_assets.extraction.engine import THREADS, Engine
from atlas_assets.extraction.losses import LOSS_OF_SHORT_PROMPT, MAX_SCORED_TOKENS
from atlas_assets.extraction.passes import Doubles, Pass, Readout, UnitSums
from atlas_assets.extraction.positions import (
    PositionReadings,
    Scale,
    rows_of_texts,
    samples_of,
    scale_of,
)
from atlas_assets.extraction.prompts import (
    IntArray,
    UnitPrompts,
    require_fit,
    tokenize,
    unit_prompts,
)
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.extraction.spots import Occurrences, Spots
from atlas_assets.models.circuitgpt_network import CircuitGPTNetwork
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.progress import Progress
from atlas_assets.stages.activations.stored import AnyActivations, activations_of, is_large

#: distinct texts that are scored as one unit, which in padded batches makes them one shard
UNIT_PROMPTS = 2048
#: on a CPU a batch should stay in the caches; an accelerator needs enough work to fill it
CPU_BATCH_TOKENS, ACCELERATOR_BATCH_TOKENS = 2048, 16384
#: how a network gets its prompts: as chunks of their prefix tree, or in padded batches
NetworkPath = Literal["tree", "plain"]
Units = Mapping[str, Sequence[str]]


class Running(TypedDict):
    """How prompts are run, whatever is wanted of them: keyword arguments of every function here.

    Attributes:
        shards: where finished work is kept; its fingerprint covers model identity, dtype,
            device and code, and is narrowed here to readout, prompts, batching and plan.
        progress: is told of each prompt that has been run.
        batch_tokens: the budget of a padded batch in tokens, padding included, or the most nodes of
            a chunk of the prefix tree; None or absent leaves it to the device. Chunks of other
            networks than a circuitgpt have at most `tree_model.most_nodes`.
        path: how a network is run for ``last_token``, ``tree`` if absent; one that cannot run on
            the tree, and any other readout, is run in padded batches.
        engine: where prompts are run; threads of this process if absent.
    """

    shards: ShardStore
    progress: Progress
    batch_tokens: NotRequired[int | None]
    path: NotRequired[NetworkPath]
    engine: NotRequired[Engine]


@dataclass(frozen=True, eq=False)
class PromptReadings:
    """What one pass over the prompts of units gives.

    Attributes:
        activations: sums and counts of all units; those of a large atlas lie on disk.
        losses: per unit, float64 ``[prompts]`` in prompt order: ``sequence_loss`` in nats.
        lengths: per unit, int64 ``[prompts]``: tokens of the whole prompt.
        positions: what was read at other positions, by name.
    """

    activations: AnyActivations
    losses: Mapping[str, Doubles]
    lengths: Mapping[str, IntArray]
    positions: Mapping[str, PositionReadings]


def extract(
    model: LoadedModel,
    units: Units,
    *,
    readout: Readout = "last_token",
    **running: Unpack[Running],
) -> AnyActivations:
    """Return the readouts of the prompts of all units, added up per unit, sorted by name.

    Those of a large atlas (`stored.is_large`) lie in the store's folder, where it has one.

    Args:
        model: a loaded causal LM.
        units: unit name → its prompts in order; each has at least one.
        readout: the position that is read.
        **running: see `Running`.

    Raises:
        StimulusError: no units, a unit without prompts, or a prompt without tokens.
        ModelError: a prompt is longer than the network can take, or a readout is not finite.
        ArtifactWriteError: finished work cannot be written.
    """
    prompts = unit_prompts(model.tokenizer, units, max_positions=model.max_positions)
    done = run_pass(model, prompts, readout=readout, **running)
    return activations_of(prompts.names, prompts.n_prompts, done.sums, done.counts, done.remark)


def read_prompts(
    model: LoadedModel,
    units: Units,
    positions: Mapping[str, Occurrences] = MappingProxyType({}),
    *,
    scored: bool = True,
    **running: Unpack[Running],
) -> PromptReadings:
    """Run the prompts of all units once, for their readouts at the last token and their losses.

    Other arguments and the errors are those of `extract`; a loss that is not finite is a
    ModelError too.

    Args:
        model: a loaded causal LM.
        units: as for `extract`.
        positions: where else these prompts are read, by name of the position, in the same pass.
            A part of the prompts is run before it, for the scales.
        scored: whether losses are computed; otherwise there are none in the result.
        **running: see `Running`.
    """
    prompts = unit_prompts(
        model.tokenizer,
        units,
        max_positions=model.max_positions,
        known={text: ids for found in positions.values() for text, ids in found.ids.items()},
    )
    row_of_text = rows_of_texts(units, prompts.names, prompts.rows)
    scales = _scales(model, positions, **running)
    before = len(model.tokenizer.prefix)
    spots = tuple(
        Spots.of(occurrences, row_of_text, scales[name].thresholds, before)
        for name, occurrences in positions.items()
    )
    done = run_pass(model, prompts, scored=scored, spots=spots, **running)
    rows = dict(zip(prompts.names, prompts.rows, strict=True))
    places = {name: np.searchsorted(prompts.distinct, of_unit) for name, of_unit in rows.items()}
    return PromptReadings(
        activations=activations_of(
            prompts.names, prompts.n_prompts, done.sums, done.counts, done.remark
        ),
        losses={name: done.losses[of_unit] for name, of_unit in places.items()} if scored else {},
        lengths={name: prompts.table.lengths[of_unit] for name, of_unit in rows.items()},
        positions={
            name: PositionReadings(scales[name], occurrences.n_prompts, *found)
            for (name, occurrences), found in zip(positions.items(), done.at_spots, strict=True)
        },
    )


def _scales(
    model: LoadedModel, positions: Mapping[str, Occurrences], **running: Unpack[Running]
) -> dict[str, Scale]:
    """Compute the scale of every position by running a sample of its prompts."""
    samples = samples_of(positions)
    texts = sorted({text for sample in samples.values() for text in sample.texts})
    if not texts:
        return {name: Scale(np.zeros(model.n_layers), 0, "") for name in samples}
    units = {"sample": texts}
    prompts = unit_prompts(model.tokenizer, units, max_positions=model.max_positions)
    row_of_text = rows_of_texts(units, prompts.names, prompts.rows)
    none = np.zeros((0, model.n_layers), np.float32)
    before = len(model.tokenizer.prefix)
    spots = tuple(Spots.of(sample, row_of_text, none, before) for sample in samples.values())
    # what comes after the last token that is read changes nothing at it
    ends = np.zeros(len(prompts.table), dtype=np.int64)
    for some in spots:
        np.maximum.at(ends, some.rows, some.tokens + 1)
    prompts = replace(prompts, table=prompts.table.truncated(ends))
    running["shards"] = running["shards"].beside("scales")
    progress = running["progress"]
    running["progress"] = replace(progress, task=f"{progress.task} (a sample, for its scale)")
    done = run_pass(model, prompts, spots=spots, **running)
    return {
        name: scale_of(sample, sums)
        for (name, sample), (sums, _) in zip(samples.items(), done.at_spots, strict=True)
    }


def run_pass(
    model: LoadedModel,
    prompts: UnitPrompts,
    *,
    readout: Readout = "last_token",
    scored: bool = False,
    spots: tuple[Spots, ...] = (),
    **running: Unpack[Running],
) -> UnitSums:
    """Run encoded prompts on the tree or in padded batches; compute their losses if ``scored``.

    What is read besides is given as ``spots``, and not at the release's padded positions.
    """
    own = CPU_BATCH_TOKENS if model.device.type == "cpu" else ACCELERATOR_BATCH_TOKENS
    asked = running.get("batch_tokens")
    budget = own if asked is None else asked
    published = readout == "published"
    tree = running.get("path", "tree") == "tree"
    on_tree = tree and not published
    remark = "" if tree else "prompts ran in padded batches, as asked"
    if on_tree and not isinstance(model.network, CircuitGPTNetwork):
        nodes = min(budget, tree_model.most_nodes(model))
        remark = tree_probe.refusal(model, prompts, nodes) or ""
        on_tree = not remark
        budget = nodes if on_tree else budget
    to_run = int(prompts.n_prompts.sum()) if published else len(prompts.distinct)
    with running["progress"].track(to_run) as track:
        shards, engine = running["shards"], running.get("engine", THREADS)
        task = Pass(model, prompts, readout, scored, budget, shards, track, spots, tree, engine)
        large = is_large(int(prompts.n_prompts.sum(dtype=np.int64)), *task.shape)
        if large and shards.folder is not None and not spots:
            done = unit_shards.run(task, on_tree)
        else:
            done = tree_pass.run(task) if on_tree else plain_pass.run(task)
    return replace(done, remark=remark) if remark else done


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
    """Distinct texts, cut into units of a fixed size, and the row of each text that was given."""

    row_of_text: IntArray

    def where(self, row: int) -> str:
        return f"prompt {np.flatnonzero(self.row_of_text == row)[0]}"


def score(model: LoadedModel, texts: Sequence[str], **running: Unpack[Running]) -> Scores:
    """Compute the loss of every text, running identical ones once.

    Other arguments and the errors are those of `extract`; large vocabularies get smaller batches,
    and a loss that is not finite is a ModelError too.
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
        losses[scored] = run_pass(model, prompts, scored=True, **running).losses
    return Scores(losses=losses[row_of_text], lengths=whole.lengths[row_of_text])
