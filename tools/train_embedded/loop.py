"""The training itself: steps, the loss curve, and states saved on the way."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn

from atlas_assets.extraction.workers import in_order, one_thread
from atlas_assets.progress import duration
from tools.train_embedded.data import IntArray, TokenStream, batch, windows
from tools.train_embedded.recipe import Recipe
from tools.train_embedded.sparsify import project
from tools.train_embedded.state import NEWEST, Point, State, restore, save_state

#: tokens of a held-out sequence
HELD_OUT_LENGTH = 256
#: held-out sequences of a point of the loss curve, evenly spread
CURVE_SEQUENCES = 64
#: sequences of one call of the network
SEQUENCES_PER_CALL = 4
_CPU = torch.device("cpu")

_log = logging.getLogger(__name__)


def train(
    recipe: Recipe,
    data: Mapping[str, TokenStream],
    held_out: TokenStream,
    folder: Path,
    corpus: str,
    keep: Callable[[State], None] = lambda _: None,
) -> State:
    """Train from the newest state in ``folder`` to the recipe's last step.

    The parts of a batch run side by side, one thread each, and their gradients are added in a
    fixed order, so on one machine the weights do not depend on interruptions or on the number of
    cores up to the number of parts.

    Args:
        recipe: what the run makes its model from.
        data: streams to train on, by the names of the recipe's shares.
        held_out: tokens for the loss curve.
        folder: of the run's states.
        corpus: digest of the corpus, kept in the states.
        keep: called with the state at each of the recipe's ``kept_steps``.

    Raises:
        ModelError: the folder holds another run's state, or the corpus is too small.
        ArtifactWriteError: a state cannot be written.
    """
    state = restore(folder, recipe, corpus)
    sample = curve_sample(held_out)
    _log.info("training from step %d to %d", state.step, recipe.steps)
    first, start = state.step, time.monotonic()
    while state.step < recipe.steps:
        due = (state.step + 1) % recipe.evaluate_every == 0 or state.step + 1 == recipe.steps
        with _timed(state):
            take_step(state, recipe, data)
            if due:
                _add_point(state, recipe, sample)
                seconds = (time.monotonic() - start) / (state.step - first)
                _report(state, recipe, seconds)
        if state.step in recipe.kept_steps:
            keep(state)
        if due:
            save_state(folder / NEWEST, state, recipe, corpus)
    return state


def curve_sample(held_out: TokenStream) -> IntArray:
    """Return a fixed, evenly spread part of the held-out tokens, int64 ``[sequences, tokens]``."""
    rows = windows(held_out, HELD_OUT_LENGTH)
    return rows[:: max(len(rows) // CURVE_SEQUENCES, 1)][:CURVE_SEQUENCES]


def held_out_loss(network: nn.Module, rows: IntArray) -> float:
    """Return the mean cross-entropy, nats, of all but the first token of each sequence.

    Args:
        network: a causal LM on the CPU.
        rows: int64 ``[sequences, tokens]``.
    """
    losses: list[float] = []

    def run(part: IntArray) -> float:
        with torch.inference_mode():
            return float(_loss(network, part, reduction="sum"))

    parts = [rows[n : n + SEQUENCES_PER_CALL] for n in range(0, len(rows), SEQUENCES_PER_CALL)]
    in_order(parts, run, lambda _, loss: losses.append(loss), device=_CPU)
    return sum(losses) / float(rows[:, 1:].size)


def take_step(state: State, recipe: Recipe, data: Mapping[str, TokenStream]) -> None:
    """Take one optimiser step: gradients of all parts, the optimisers, then weight sparsity."""
    step = state.step + 1
    parameters = list(state.network.parameters())
    parts = batch(data, recipe, step)
    share = 1.0 / len(parts)
    total: list[Tensor] = []
    losses: list[float] = []

    def run(part: IntArray) -> tuple[float, tuple[Tensor, ...]]:
        loss = _loss(state.network, part) * share
        return loss.item(), torch.autograd.grad(loss, parameters)

    def take(_: IntArray, result: tuple[float, tuple[Tensor, ...]]) -> None:
        losses.append(result[0])
        if total:
            for gradient, part in zip(total, result[1], strict=True):
                gradient += part
        else:
            total.extend(result[1])

    in_order(parts, run, take, device=_CPU)
    # sums over threads depend on their number; the optimiser's part is too short to need them
    with one_thread():
        for parameter, gradient in zip(parameters, total, strict=True):
            parameter.grad = gradient
        torch.nn.utils.clip_grad_norm_(parameters, recipe.clip, error_if_nonfinite=True)
        for optimizer in state.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate_at(step)
            optimizer.step()
        for parameter in parameters:
            parameter.grad = None
        project(state.matrices, recipe.density_at(step), recipe.row_floor)
    state.step = step
    state.recent_loss += sum(losses)


def _loss(network: nn.Module, rows: IntArray, reduction: str = "mean") -> Tensor:
    """Cross-entropy of each token given the ones before it, over ``[sequences, tokens]``."""
    ids = torch.from_numpy(rows)
    logits = network(ids[:, :-1]).logits
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction=reduction)


def _add_point(state: State, recipe: Recipe, sample: IntArray) -> None:
    since = state.step - (state.curve[-1].step if state.curve else 0)
    point = Point(
        step=state.step,
        learning_rate=recipe.learning_rate_at(state.step),
        density=_density(state),
        train_loss=state.recent_loss / since,
        held_out_loss=held_out_loss(state.network, sample),
    )
    state.curve.append(point)
    state.recent_loss = 0.0


def _density(state: State) -> float:
    matrices = state.matrices
    return sum(int(m.count_nonzero()) for m in matrices) / sum(m.numel() for m in matrices)


def _report(state: State, recipe: Recipe, seconds_per_step: float) -> None:
    point = state.curve[-1]
    _log.info(
        "step %d of %d: loss %.3f, held out %.3f, density %.3f, %.0f tokens/s, %s left",
        state.step,
        recipe.steps,
        point.train_loss,
        point.held_out_loss,
        point.density,
        recipe.batch_tokens / seconds_per_step,
        duration((recipe.steps - state.step) * seconds_per_step),
    )


@contextmanager
def _timed(state: State) -> Iterator[None]:
    wall, cpu = time.monotonic(), time.process_time()
    yield
    state.wall_seconds += time.monotonic() - wall
    state.cpu_seconds += time.process_time() - cpu
