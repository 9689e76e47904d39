"""Prompts in padded batches: the plain way, for any causal LM and for the release's readout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from atlas_assets.errors import ModelError, expect
from atlas_assets.extraction import published_tree
from atlas_assets.extraction.batching import length_batches, padded, placed
from atlas_assets.extraction.losses import LOGITS_PER_CALL, mean_losses, targets_of
from atlas_assets.extraction.passes import Doubles, Pass, UnitSums
from atlas_assets.extraction.prompts import IntArray, UnitPrompts, cut_into_shards
from atlas_assets.extraction.readouts import ReadoutTap, tapped
from atlas_assets.extraction.reduction import Reduction, require_finite_losses
from atlas_assets.extraction.shards import Arrays
from atlas_assets.extraction.spots import Spots
from atlas_assets.models.circuitgpt_layers import in_authors_order
from atlas_assets.models.loaded import LoadedModel

#: most prompts in a batch of the release
PUBLISHED_BATCH = 64
#: distinct prompts after which a shard is full: small enough to lose little in a kill, large
#: enough to make batches of similar length
SHARD_PROMPTS = 1024
#: raise it when the plan changes, so that shards of another plan are not taken for this one's
PLAN_VERSION = 3
#: the readouts of a batch, and the mean losses of its prompts
_Readings = tuple[torch.Tensor, torch.Tensor | None]


@dataclass(frozen=True, eq=False)
class _Batch:
    """Prompts that are run together.

    Attributes:
        rows: int64 ``[batch]``, their rows of the table.
        runs: int64 ``[batch]``, their numbers among all that the shard runs.
        units: int64 ``[some units]``, the units that hold them.
        weights: ``[some units, batch]``, how often each of these units counts each prompt.
    """

    rows: IntArray
    runs: IntArray
    units: IntArray
    weights: Doubles


@dataclass(frozen=True, eq=False)
class _Inputs:
    """What the network is given of a batch, and where it is read.

    Attributes:
        batch: the prompts.
        ids: int64 ``[batch, tokens]``, padded.
        real: bool ``[batch, tokens]``, false where there is padding on the right.
        places: int64 ``[reads]`` each, what is read: rows of the batch, and the tokens in them.
    """

    batch: _Batch
    ids: IntArray
    real: npt.NDArray[np.bool_]
    places: tuple[IntArray, IntArray]


@dataclass(frozen=True)
class _ReadPadded:
    """Runs the network on padded batches.

    Attributes:
        released: whether it runs as it did for the release: without a mask, in the authors' order
            of additions.
        scored: whether the mean losses of the prompts are computed too.
    """

    released: bool
    scored: bool

    @contextmanager
    def on(self, model: LoadedModel) -> Iterator[Callable[[_Inputs], _Readings]]:
        order = in_authors_order(model.network) if self.released else nullcontext()
        with order, tapped(model) as tap:
            yield partial(self._run, model, tap)

    def _run(self, model: LoadedModel, tap: ReadoutTap, given: _Inputs) -> _Readings:
        rows, tokens = (placed(part, model.device) for part in given.places)
        # without padding a mask says nothing and keeps networks from their faster causal attention
        masked = not (self.released or given.real.all())
        mask = placed(given.real.astype(np.int64), model.device) if masked else None
        network = model.network if self.scored else model.base
        ids = placed(given.ids, model.device)
        readouts, output = tap.read(network, ids, (rows, tokens), mask)
        if not self.scored:
            return readouts, None
        with torch.inference_mode():
            targets = placed(targets_of(given.ids, given.real), model.device)
            return readouts, mean_losses(output.logits, targets)


def run(task: Pass) -> UnitSums:
    """Run a pass shard by shard; shards that are finished already are taken from the store."""
    store = task.store(
        f"plan {PLAN_VERSION}, {SHARD_PROMPTS} prompts", f"batch_tokens {task.budget}"
    )
    sums, counts = np.zeros(task.shape, np.float32), np.zeros(task.shape, np.int32)
    losses = np.zeros(task.n_losses)
    at_spots = tuple(
        (np.zeros(shape[1:], np.float32), np.zeros(shape, np.int32))
        for shape in (_shape_at(task, spots) for spots in task.spots)
    )
    unit_of = {name: unit for unit, name in enumerate(task.prompts.names)}
    for number, prompts in enumerate(cut_into_shards(task.prompts, SHARD_PROMPTS)):
        within = [spots.within(prompts) for spots in task.spots]
        shard = replace(task, prompts=prompts, spots=tuple(spots for _, spots in within))
        key = f"{number:05d}"
        done: Mapping[str, Any] | None = store.get(key, like=_nothing(shard))
        if done is None:
            done = _run_shard(shard)
            store.put(key, done)
        else:
            task.track.skip(len(_rows_to_run(shard)))
        units = [unit_of[name] for name in prompts.names]
        sums[units], counts[units] = done["sums"], done["counts"]
        if task.scored:
            losses[np.searchsorted(task.prompts.distinct, prompts.distinct)] = done["losses"]
        for number, (units_at, _) in enumerate(within):
            # a unit's prompts are those of one unit of the pass, so they are all in this shard
            at_spots[number][0][units_at] = done[f"sums {number}"]
            at_spots[number][1][:, units_at] = done[f"counts {number}"]
    return UnitSums(sums, counts, losses, at_spots=at_spots)


def _shape_at(task: Pass, spots: Spots) -> tuple[int, int, int, int]:
    """Return the shape of the counts at spots: levels, units, layers, width."""
    return (spots.n_levels, spots.n_units, *task.shape[1:])


def _nothing(task: Pass) -> Arrays:
    """Return arrays of the shapes and dtypes of a finished shard, with undefined values."""
    return {
        "sums": np.empty(task.shape, np.float32),
        "counts": np.empty(task.shape, np.int32),
        "losses": np.empty(task.n_losses),
        **{
            f"{name} {number}": np.empty(_shape_at(task, spots)[skipped:], dtype)
            for number, spots in enumerate(task.spots)
            for name, skipped, dtype in (("sums", 1, np.float32), ("counts", 0, np.int32))
        },
    }


def _run_shard(task: Pass) -> Arrays:
    model, prompts = task.model, task.prompts
    lengths = prompts.table.lengths
    reduction = Reduction(model, len(prompts.names), len(_rows_to_run(task)))
    at_spots = [Reduction(model, s.n_units, len(s), s.thresholds) for s in task.spots]
    losses = torch.zeros(task.n_losses, dtype=torch.float64, device=model.device)
    # the release pads on the left and gives the network no mask
    released = task.readout == "published"
    if released:
        _require_padding(task)

    def given(batch: _Batch) -> _Inputs:
        side: Literal["left", "right"] = "left" if released else "right"
        ids = padded(prompts.table, batch.rows, model.tokenizer.pad_id, side=side)
        real = np.arange(ids.shape[1]) < lengths[batch.rows, None]
        slots, tokens = [np.arange(len(batch.rows))], [lengths[batch.rows] - 1]
        for spots in task.spots:
            some, slot = spots.of_rows(batch.rows)
            slots.append(slot)
            tokens.append(spots.tokens[some])
        return _Inputs(batch, ids, real, (np.concatenate(slots), np.concatenate(tokens)))

    def take(batch: _Batch, result: _Readings) -> None:
        readouts, means = result
        found = [spots.of_rows(batch.rows)[0] for spots in task.spots]
        at_end, *elsewhere = torch.split(readouts, [len(batch.runs), *map(len, found)])
        reduction.add(at_end, batch.weights, batch.units, batch.runs)
        for spots, into, some, part in zip(task.spots, at_spots, found, elsewhere, strict=True):
            units, weights = spots.weights_of(some)
            into.add(part, weights, units, some)
        if means is not None:
            losses[placed(batch.runs, model.device)] = means
        task.track.advance(len(batch.runs))

    def where(run: int) -> str:
        return prompts.where(int(_rows_to_run(task)[run]))

    def where_at(spots: Spots, spot: int) -> str:
        return prompts.where(int(spots.rows[spot]))

    batches = list(_released_batches(prompts) if released else _batches(task))
    on_tree = published_tree.read(task, [b.rows for b in batches]) if released else None
    if on_tree is None:
        work = _ReadPadded(released, task.scored)
        task.engine.run(model, work, map(given, batches), lambda one, read: take(one.batch, read))
    else:
        for batch in batches:
            take(batch, (on_tree.of(batch.runs), None))
    reduction.require_finite(where)
    for spots, into in zip(task.spots, at_spots, strict=True):
        into.require_finite(partial(where_at, spots))
    found = losses.cpu().numpy()
    require_finite_losses(found, where)
    sums, counts = reduction.finish()
    result = {"sums": sums, "counts": counts[0], "losses": found}
    for number, into in enumerate(at_spots):
        result[f"sums {number}"], result[f"counts {number}"] = into.finish()
    return result


def _require_padding(task: Pass) -> None:
    """Refuse the release's padding, which the network sees, where no token to pad with is named."""
    expect(
        task.model.tokenizer.pad_id is not None,
        ModelError,
        "the model's tokenizer has no token to pad with",
        where="readout published",
        expected="<|endoftext|>, or an eos_token in tokenizer_config.json or config.json",
        found="neither",
        remedy="set ATLAS_READOUT to last_token, or name the end-of-sequence token",
    )


def _rows_to_run(task: Pass) -> IntArray:
    """Return the row of the table of each run: a run per prompt, or per distinct prompt."""
    prompts = task.prompts
    return np.concatenate(prompts.rows) if task.readout == "published" else prompts.distinct


def _batches(task: Pass) -> Iterator[_Batch]:
    """Yield batches of prompts of similar length, each distinct prompt once."""
    prompts, budget = task.prompts, task.budget
    if task.scored:
        budget = max(min(budget, LOGITS_PER_CALL // task.model.tokenizer.vocab_size), 1)
    every_unit = np.arange(len(prompts.names))
    for runs in length_batches(prompts.table.lengths[prompts.distinct], budget):
        weights = prompts.multiplicity[:, runs].toarray()
        yield _Batch(prompts.distinct[runs], runs, every_unit, weights)


def _released_batches(prompts: UnitPrompts) -> Iterator[_Batch]:
    """Yield the batches of the release: at most 64 prompts of one unit, in their order."""
    first = 0
    for unit, rows in enumerate(prompts.rows):
        for start in range(0, len(rows), PUBLISHED_BATCH):
            some = rows[start : start + PUBLISHED_BATCH]
            runs = first + start + np.arange(len(some))
            yield _Batch(some, runs, np.asarray([unit]), np.ones((1, len(some))))
        first += len(rows)
