"""Stage 12: sums and firing counts of every unit's layer readouts (card, "Stage 12").

For every unit (a pair, or a testable concept) over its n prompts, per layer:
``activation_sum = Σ|readout|`` and ``firing_count = #(|readout| > 0)``. Two readout positions:

- ``last_token``: the last real token of each prompt (what the card describes). Identical prompts
  run once; batches hold prompts of similar length, padded on the right.
- ``published``: what the release did when it made the frozen files: one unit per batch of at most
  64, padded on the left, no attention mask, read at index (real tokens − 1) from the left, which
  is the last token only for a batch's longest prompt.

Readouts are added up on the network's device as they come, in float64, and rounded to float32
once, so that neither memory nor the result depends on how the prompts fall into batches (beyond
the float tolerance of the network itself).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import torch

from atlas_assets.errors import ModelError
from atlas_assets.formats.shards import Arrays, ShardStore
from atlas_assets.progress import Progress, Track
from atlas_assets.science import shard_plan
from atlas_assets.science.activations import Activations
from atlas_assets.science.batching import IntArray, length_batches, padded, token_budget
from atlas_assets.science.readouts import mask_on_device, on_device, tapped
from atlas_assets.science.shard_plan import UnitPrompts
from atlas_assets.science.workers import in_order

if TYPE_CHECKING:
    from atlas_assets.models.loaded import LoadedModel

Readout = Literal["last_token", "published"]
Units = Mapping[str, Sequence[str]]
#: most prompts in a batch of the release
PUBLISHED_BATCH = 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class UnitSums:
    """What a strategy gives for one shard.

    Attributes:
        sums: float32 ``[units, layers, width]``.
        counts: int32 ``[units, layers, width]``.
    """

    sums: npt.NDArray[np.float32]
    counts: npt.NDArray[np.int32]


#: model, shard, token budget of a batch, progress → the shard's sums
ReadoutStrategy = Callable[["LoadedModel", UnitPrompts, int, Track], UnitSums]


def extract(
    model: LoadedModel,
    units: Units,
    *,
    readout: Readout = "last_token",
    batch_tokens: int | None = None,
    shards: ShardStore,
    progress: Progress,
) -> Activations:
    """Run all units' prompts and reduce their readouts.

    Args:
        model: a loaded causal LM.
        units: unit name → its prompts in order; each has at least one.
        readout: the position that is read.
        batch_tokens: budget of a ``last_token`` batch in tokens, padding included; None leaves it
            to the device.
        shards: where finished shards are kept; its fingerprint covers model identity, dtype,
            device and code, and is narrowed here to readout, prompts, batching and plan.
        progress: is told of prompts as they are run.

    Returns:
        Activations of all units, sorted by name.

    Raises:
        StimulusError: no units, a unit without prompts, or a prompt without tokens.
        ModelError: a prompt is longer than the network can take, or a readout is not finite.
        SettingsError: ``batch_tokens`` is below 1.
        ArtifactWriteError: a shard cannot be written.
    """
    budget = token_budget(batch_tokens, model.device.type)
    prompts = shard_plan.unit_prompts(model.tokenizer, units, max_positions=model.max_positions)
    store = _narrow(shards, model, readout, budget, prompts)
    shape = (len(prompts.names), model.n_layers, model.width)
    sums, counts = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.int32)
    place = {name: index for index, name in enumerate(prompts.names)}
    with progress.track(_n_runs(prompts, readout)) as track:
        run = _Run(model, readout, budget, store, track)
        for number, shard in enumerate(shard_plan.shards(prompts, shard_plan.SHARD_PROMPTS)):
            done = run.finished(f"{number:05d}", shard)
            where = [place[name] for name in shard.names]
            sums[where], counts[where] = done.sums, done.counts
    return Activations(names=prompts.names, n_prompts=prompts.n_prompts, sums=sums, counts=counts)


def last_token(model: LoadedModel, shard: UnitPrompts, batch_tokens: int, track: Track) -> UnitSums:
    """Each distinct prompt once, in right-padded batches of similar length."""
    lengths = shard.table.lengths[shard.distinct]
    reduction = _Reduction(model, shard, len(lengths))

    def read(batch: IntArray) -> torch.Tensor:
        ids = padded(shard.table, shard.distinct[batch], model.tokenizer.pad_id, side="right")
        real = np.arange(ids.shape[1]) < lengths[batch, None]
        last = on_device(model, lengths[batch] - 1)
        return tap.read(on_device(model, ids), last, mask_on_device(model, real))

    def take(batch: IntArray, readouts: torch.Tensor) -> None:
        reduction.add(readouts, shard.multiplicity[:, batch].toarray(), batch)
        track.advance(len(batch))

    with tapped(model) as tap:
        in_order(length_batches(lengths, batch_tokens), read, take, device=model.device)
    return reduction.finish(lambda run: shard.holder(int(shard.distinct[run])))


def published(
    model: LoadedModel,
    shard: UnitPrompts,
    batch_tokens: int,  # noqa: ARG001  the release's batches do not depend on a budget
    track: Track,
) -> UnitSums:
    """The release's batches: one unit's prompts in order, 64 at most, left padding, no mask."""
    first = np.concatenate([[0], np.cumsum(shard.n_prompts)])
    batches = [
        (unit, np.arange(start, min(start + PUBLISHED_BATCH, len(rows))))
        for unit, rows in enumerate(shard.rows)
        for start in range(0, len(rows), PUBLISHED_BATCH)
    ]
    reduction = _Reduction(model, shard, int(first[-1]))

    def read(batch: tuple[int, IntArray]) -> torch.Tensor:
        unit, prompts = batch
        rows = shard.rows[unit][prompts]
        ids = padded(shard.table, rows, model.tokenizer.pad_id, side="left")
        return tap.read(on_device(model, ids), on_device(model, shard.table.lengths[rows] - 1))

    def take(batch: tuple[int, IntArray], readouts: torch.Tensor) -> None:
        unit, prompts = batch
        weights = np.zeros((len(shard.names), len(prompts)))
        weights[unit] = 1
        reduction.add(readouts, weights, first[unit] + prompts)
        track.advance(len(prompts))

    def prompt_of(run: int) -> tuple[str, int]:
        unit = int(np.searchsorted(first, run, side="right")) - 1
        return shard.names[unit], run - int(first[unit])

    with tapped(model) as tap:
        in_order(batches, read, take, device=model.device)
    return reduction.finish(prompt_of)


STRATEGIES: Mapping[Readout, ReadoutStrategy] = {"last_token": last_token, "published": published}


class _Reduction:
    """Adds readouts up per unit, on the network's device, without waiting for it."""

    def __init__(self, model: LoadedModel, shard: UnitPrompts, runs: int) -> None:
        self._shape = (len(shard.names), model.n_layers, model.width)
        size = (len(shard.names), model.n_layers * model.width)
        self._device = model.device
        self._sums = torch.zeros(size, dtype=torch.float64, device=model.device)
        self._counts = torch.zeros(size, dtype=torch.float64, device=model.device)
        self._unsound = torch.zeros((runs, model.n_layers), dtype=torch.bool, device=model.device)

    def add(self, readouts: torch.Tensor, weights: npt.NDArray[np.float64], runs: IntArray) -> None:
        """Add one batch.

        Args:
            readouts: float32 ``[batch, layers, width]``.
            weights: ``[units, batch]``, how often each unit counts each prompt.
            runs: int64 ``[batch]``, the prompts' numbers within the shard.
        """
        strength = readouts.abs()
        where = torch.from_numpy(runs).to(self._device)
        self._unsound[where] = ~torch.isfinite(strength).all(dim=2)
        share = torch.from_numpy(weights).to(self._device)
        # products with whole-number weights: exact for counts, one float64 rounding per term
        self._sums += share @ strength.flatten(1).double()
        self._counts += share @ (strength > 0).flatten(1).double()

    def finish(self, prompt_of: Callable[[int], tuple[str, int]]) -> UnitSums:
        """Round once and move to the host; ``prompt_of`` names a run for the error message."""
        unsound = np.argwhere(self._unsound.cpu().numpy())
        if unsound.size:
            unit, prompt = prompt_of(int(unsound[0, 0]))
            raise _not_finite(f"unit {unit}, prompt {prompt}, layer {unsound[0, 1]}")
        sums = self._sums.float().cpu().numpy().reshape(self._shape)
        counts = self._counts.to(torch.int32).cpu().numpy().reshape(self._shape)
        return UnitSums(sums=sums, counts=counts)


@dataclass(frozen=True)
class _Run:
    """One extraction under way."""

    model: LoadedModel
    readout: Readout
    batch_tokens: int
    store: ShardStore
    track: Track

    def finished(self, key: str, shard: UnitPrompts) -> UnitSums:
        """The shard's sums, from the store or computed and stored."""
        shape = (len(shard.names), self.model.n_layers, self.model.width)
        stored = _sound(self.store.get(key), key, shape)
        if stored is not None:
            self.track.skip(_n_runs(shard, self.readout))
            return stored
        done = STRATEGIES[self.readout](self.model, shard, self.batch_tokens, self.track)
        arrays = {"sums": done.sums, "counts": done.counts, "n_prompts": shard.n_prompts}
        self.store.put(key, arrays)
        return done


def _sound(arrays: Arrays | None, key: str, shape: tuple[int, ...]) -> UnitSums | None:
    if arrays is None:
        return None
    expected = {"sums": (shape, np.dtype(np.float32)), "counts": (shape, np.dtype(np.int32))}
    found = {
        name: (arrays[name].shape, arrays[name].dtype) for name in expected.keys() & arrays.keys()
    }
    if found != expected:
        _log.warning("shard %s does not hold this plan's units and will be computed again", key)
        return None
    return UnitSums(
        sums=arrays["sums"].astype(np.float32), counts=arrays["counts"].astype(np.int32)
    )


def _narrow(
    shards: ShardStore,
    model: LoadedModel,
    readout: Readout,
    batch_tokens: int,
    prompts: UnitPrompts,
) -> ShardStore:
    return shards.narrowed(
        "extract",
        readout,
        f"plan {shard_plan.PLAN_VERSION}, {shard_plan.SHARD_PROMPTS} prompts",
        f"batch_tokens {batch_tokens}",
        f"{model.dtype} on {model.device.type}, torch {torch.__version__}",
        prompts.digest(),
    )


def _n_runs(prompts: UnitPrompts, readout: Readout) -> int:
    """How many sequences the network runs: every prompt, or each distinct one once."""
    if readout == "published":
        return int(prompts.n_prompts.sum())
    return len(prompts.distinct)


def _not_finite(where: str) -> ModelError:
    return ModelError(
        "the network's readout is not finite",
        where=where,
        expected="finite activations",
        found="NaN or infinity",
        remedy="use a wider dtype (ATLAS_DTYPE=bfloat16 or float32), or check the checkpoint",
    )
