"""Networks whose readouts are held back: ablation, and its first-order estimate, attribution.

What every layer gives at the model's site becomes ``μ + g · (output − μ)`` at all positions of a
prompt, with μ the mean of each neuron and g its gate: 1 leaves it as it is, 0 ablates it to its
mean. Losses are those of `extraction.losses`; hooks do it for any causal language model, and
`extraction.branches` in less time for the MLPs of a circuitgpt, to the same bits.
Attribution patching (Nanda 2023; Syed et al. 2023) estimates by how much closing a gate raises the
loss: a = −∂L/∂g at g = 1.

Prompts are padded on the right, where a causal network sees no padding, and given no mask.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from atlas_assets.errors import ModelError
from atlas_assets.extraction.batching import length_batches, padded, placed
from atlas_assets.extraction.branches import Branches, branching
from atlas_assets.extraction.engine import THREADS, Engine, Work
from atlas_assets.extraction.losses import (
    LOGITS_PER_CALL,
    MAX_SCORED_TOKENS,
    mean_losses,
    targets_of,
)
from atlas_assets.extraction.passes import Doubles
from atlas_assets.extraction.prompts import IntArray, TokenTable, tokenize
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.models.memory import give_back
from atlas_assets.progress import Progress, Track

#: runs after which their results are written down: ablations, and attributions at most
ABLATED, ATTRIBUTED = 4096, 1024
#: values of attributions that are held at a time, at most (256 MiB)
HELD = 2**25
#: tokens of a batch, padding included; of one that is run backwards, which keeps all of its layers
BATCH_TOKENS, SLOPE_TOKENS = 2048, 512
#: tokens of all runs of a batch that share what lies below their branches, and of those of one
#: layer that run above it at a time, padding included
BRANCHED_TOKENS, BRANCH_TOKENS = 16384, 1024
#: raise it when the arithmetic changes
VERSION = 2
Gates = npt.NDArray[np.bool_]


class _Gated:
    """Hooks that hold back the readouts of the batch that the calling thread runs."""

    def __init__(self, model: LoadedModel, means: Doubles) -> None:
        self._model = model
        self._means = placed(means.astype(np.float32), model.device)
        self._batch = threading.local()

    def losses(self, ids: IntArray, real: npt.NDArray[np.bool_], gates: Tensor) -> Tensor:
        """Run padded prompts with their gates ``[batch, layers, width]``: float64 ``[batch]``."""
        self._batch.gates = gates
        device = self._model.device
        output = self._model.network(placed(ids, device))
        return mean_losses(output.logits, placed(targets_of(ids, real), device))

    def hold(self, layer: int, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        """Return what a layer gives through its gates; a forward hook."""
        return self.through(layer, output, self._batch.gates[:, layer])

    def through(self, layer: int, readout: Tensor, gates: Tensor) -> Tensor:
        """Return a readout ``[batch, tokens, width]`` as gates ``[batch, width]`` let it."""
        mean = self._means[layer]
        held: Tensor = mean + gates[:, None, :] * (readout - mean)
        return held.to(readout.dtype)


@contextmanager
def _gated(model: LoadedModel, means: Doubles) -> Iterator[_Gated]:
    gated = _Gated(model, means)
    with _hooked(model, gated.hold):
        yield gated


@contextmanager
def _hooked(model: LoadedModel, hook: Callable[..., Tensor | None]) -> Iterator[None]:
    """Call a function with the number of a layer, its module, inputs and output, for all layers."""
    handles = [
        point.register_forward_hook(partial(hook, layer))
        for layer, point in enumerate(model.points)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True, eq=False)
class _Given:
    """A batch of runs: prompts, padded, and the gates that they are run with.

    Attributes:
        runs: int64 ``[batch]``, their numbers.
        ids: int64 ``[batch, tokens]``.
        real: bool ``[batch, tokens]``, false where there is padding.
        gates: bool ``[batch, layers, width]``; empty where all are open.
    """

    runs: IntArray
    ids: IntArray
    real: npt.NDArray[np.bool_]
    gates: Gates = field(default_factory=lambda: np.ones((0, 0, 0), np.bool_))


@dataclass(frozen=True)
class _Slope:
    """Computes what the attributions and the means of a batch are made of, in one run.

    With r the readouts of a prompt and s = ∂L/∂r, these are Σ s · r and Σ s over all positions, and
    Σ r over those that are no padding: float64 ``[batch, 3, layers, width]``. At g = 1 the network
    is what it is whatever μ is, and ∂L/∂g = Σ s · (r − μ).
    """

    @contextmanager
    def on(self, model: LoadedModel) -> Iterator[Callable[[_Given], npt.NDArray[Any]]]:
        batch = threading.local()

        def keep(layer: int, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            # a tensor of its own, which has a gradient even where nothing before it has one
            given: Tensor = output + batch.zero
            batch.readouts[layer] = output.detach(), given
            return given

        def run(given: _Given) -> npt.NDArray[Any]:
            ids, targets, padding = (
                placed(each, model.device)
                for each in (given.ids, targets_of(given.ids, given.real), ~given.real[..., None])
            )
            with torch.enable_grad():
                batch.readouts = {}
                batch.zero = torch.zeros((), device=model.device, requires_grad=True)
                total = mean_losses(model.network(ids).logits, targets).sum()
                readouts, entered = zip(
                    *(batch.readouts[layer] for layer in range(model.n_layers)), strict=True
                )
                slopes = torch.autograd.grad(total, entered)
            sums = []
            for slope, readout in zip(slopes, readouts, strict=True):
                s, r = slope.double(), readout.double()
                terms = (s * r, s, r.masked_fill(padding, 0))
                sums.append(torch.stack([term.sum(dim=1) for term in terms], dim=1))
            found: npt.NDArray[Any] = torch.stack(sums, dim=2).cpu().numpy()
            return found

        with _hooked(model, keep):
            yield run


@dataclass(frozen=True, eq=False)
class _Ablate:
    """Computes the losses of a batch whose gates are closed: float64 ``[batch]``."""

    means: Doubles

    @contextmanager
    def on(self, model: LoadedModel) -> Iterator[Callable[[_Given], npt.NDArray[Any]]]:
        network = branching(model)
        if network is not None:
            branches = Branches(network, _Gated(model, self.means).through, BRANCH_TOKENS)
            yield lambda given: branches.losses(given.ids, given.real, given.gates)
            return
        with _gated(model, self.means) as gated:

            def run(given: _Given) -> npt.NDArray[Any]:
                with torch.inference_mode():
                    held = placed(given.gates.astype(np.float32), model.device)
                    found: npt.NDArray[Any] = (
                        gated.losses(given.ids, given.real, held).cpu().numpy()
                    )
                return found

            yield run


def attributions(
    model: LoadedModel,
    texts: Sequence[str],
    groups: csr_array,
    averaged: int,
    *,
    shards: ShardStore,
    progress: Progress,
    engine: Engine = THREADS,
) -> tuple[Doubles, Doubles]:
    """Return a = −∂L/∂g at g = 1, summed over groups of prompts, and the means μ that it is of.

    Attributions are float64 ``[groups, layers, width]``, first-order scores in nats per token to
    rank neurons by; what ablating a single neuron costs they do not estimate. The means are float64
    ``[layers, width]``, of every readout over all tokens of some prompts.

    Args:
        model: a loaded causal LM.
        texts: the prompts, all different.
        groups: ``[groups, texts]``, the weight of each prompt in each group.
        averaged: how many of the prompts, the first ones, the means are of; at least one.
        shards: where finished work is kept.
        progress: is told of each prompt that has been run.
        engine: where they are run.
    """
    table, rows = _tokenized(model, texts)
    shape = (3, model.n_layers, model.width)
    slopes, readouts = np.zeros((groups.shape[0], 2, *shape[1:])), np.zeros(shape[1:])
    store = _store(shards, "attribute", model, table.offsets, table.tokens, rows)
    with progress.track(len(texts)) as track:

        def given(batch: IntArray) -> _Given:
            return _Given(batch, *_padded(model, table, rows[batch]))

        size = min(ATTRIBUTED, max(HELD // math.prod(shape), 1))
        work = _Shards(model, table.lengths[rows], store, track, engine, size, SLOPE_TOKENS)
        for part, found in work.done(_Slope(), given, np.empty((0, *shape))):
            _require_finite(found, "the attribution of a prompt", texts[part])
            weighted = groups[:, part] @ found[:, :2].reshape(len(found), -1)
            slopes += weighted.reshape(slopes.shape)
            readouts += found[: max(averaged - part.start, 0), 2].sum(axis=0)
    means: Doubles = readouts / int(table.lengths[rows[:averaged]].sum())
    return means * slopes[:, 1] - slopes[:, 0], means


def ablated_losses(
    model: LoadedModel,
    texts: Sequence[str],
    gates: Gates,
    runs: IntArray,
    means: Doubles,
    *,
    shards: ShardStore,
    progress: Progress,
    engine: Engine = THREADS,
) -> Doubles:
    """Return the losses of prompts run with gates closed: float64 ``[runs]``, nats per token.

    Args:
        model: a loaded causal LM.
        texts: the prompts, all different.
        gates: bool ``[masks, layers, width]``, false where a readout is put to its mean.
        runs: int64 ``[runs, 2]``: a prompt and the gates that it is run with.
        means: float64 ``[layers, width]``; zeros ablate to zero.
        shards: where finished work is kept.
        progress: is told of each run.
        engine: where they are run.
    """
    table, rows = _tokenized(model, texts)
    losses = np.zeros(len(runs))
    plan = (table.offsets, table.tokens, rows, means, gates, runs)
    store = _store(shards, "ablate", model, *plan)
    with progress.track(len(runs)) as track:

        def given(batch: IntArray) -> _Given:
            prompts, masks = runs[batch].T
            return _Given(batch, *_padded(model, table, rows[prompts]), gates[masks])

        lengths = table.lengths[rows[runs[:, 0]]]
        # the more runs are together, the more of them share what lies below their branches
        tokens = BATCH_TOKENS if branching(model) is None else BRANCHED_TOKENS
        work = _Shards(model, lengths, store, track, engine, ABLATED, tokens)
        for part, found in work.done(_Ablate(means), given, np.empty(0)):
            prompts = runs[part, 0]
            _require_finite(found, "the loss of an ablated network", [texts[p] for p in prompts])
            losses[part] = found
    return losses


@dataclass(frozen=True, eq=False)
class _Shards:
    """Runs that are left to do, shard by shard, each in batches of similar length.

    Attributes:
        model: the network.
        lengths: int64 ``[runs]``, tokens of each.
        store: finished shards, which are not run again.
        track: is told of each run.
        engine: where they are run.
        size: runs of a shard.
        tokens: tokens of a batch, padding included.
    """

    model: LoadedModel
    lengths: IntArray
    store: ShardStore
    track: Track
    engine: Engine
    size: int
    tokens: int = BATCH_TOKENS

    def done(
        self,
        work: Work[_Given, npt.NDArray[Any]],
        given: Callable[[IntArray], _Given],
        like: npt.NDArray[Any],
    ) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
        """Yield the runs of each shard with their results, which have the axes of ``like``.

        Args:
            work: what is done with each batch.
            given: makes a batch of the numbers of its runs.
            like: an array with the axes and the dtype of the results.
        """
        budget = max(min(self.tokens, LOGITS_PER_CALL // self.model.tokenizer.vocab_size), 1)
        for first in range(0, len(self.lengths), self.size):
            part = slice(first, min(first + self.size, len(self.lengths)))
            found = np.zeros((part.stop - first, *like.shape[1:]), like.dtype)
            stored = self.store.get(f"{first:09d}", like={"found": found})
            if stored is not None:
                self.track.skip(len(found))
                yield part, stored["found"]
                continue
            batches = (given(first + some) for some in length_batches(self.lengths[part], budget))
            self.engine.run(self.model, work, batches, partial(self._take, found, first))
            give_back()  # the threads of the next shard would take memory of their own beside it
            self.store.put(f"{first:09d}", {"found": found})
            yield part, found

    def _take(
        self, found: npt.NDArray[Any], first: int, batch: _Given, values: npt.NDArray[Any]
    ) -> None:
        found[batch.runs - first] = values
        self.track.advance(len(batch.runs))


def _tokenized(model: LoadedModel, texts: Sequence[str]) -> tuple[TokenTable, IntArray]:
    """Return the scored part of the prompts as token sequences, and the row of each prompt."""
    table, rows = tokenize(model.tokenizer, texts)
    return table.truncated(MAX_SCORED_TOKENS), rows


def _padded(
    model: LoadedModel, table: TokenTable, rows: IntArray
) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    ids = padded(table, rows, model.tokenizer.pad_id, side="right")
    return ids, np.arange(ids.shape[1]) < table.lengths[rows, None]


def _store(
    shards: ShardStore, task: str, model: LoadedModel, *plan: npt.NDArray[Any]
) -> ShardStore:
    digest = hashlib.sha256()
    for array in plan:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return shards.narrowed(
        f"{task} {VERSION}, {BATCH_TOKENS} and {SLOPE_TOKENS} tokens",
        f"{model.dtype} on {model.device.type}, torch {torch.__version__}, {model.kernels}",
        digest.hexdigest(),
    )


def _require_finite(found: npt.NDArray[Any], what: str, texts: Sequence[str]) -> None:
    unsound = np.flatnonzero(~np.isfinite(found.reshape(len(found), -1)).all(axis=1))
    if unsound.size:
        raise ModelError(
            f"{what} is not finite",
            where=repr(texts[int(unsound[0])])[:80],
            expected="a finite number of nats",
            found="NaN or infinity",
            remedy="use a wider dtype (ATLAS_DTYPE=bfloat16 or float32), or check the checkpoint",
        )
