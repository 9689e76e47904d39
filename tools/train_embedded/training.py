"""The training itself: its state, its steps, the loss curve, and states saved on the way."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from atlas_assets.errors import ModelError, expect
from atlas_assets.extraction.workers import in_order, one_thread
from atlas_assets.files.atomic import write_bytes
from atlas_assets.models.circuitgpt import CircuitGPTForCausalLM
from atlas_assets.models.circuitgpt_config import CircuitGPTConfig
from atlas_assets.progress import duration
from tools.train_embedded.material import IntArray, Material, batch
from tools.train_embedded.network import for_training
from tools.train_embedded.recipe import Recipe
from tools.untrained import untrained

NEWEST = "newest.safetensors"
#: sequences of one call of the network
SEQUENCES_PER_CALL = 4

_log = logging.getLogger(__name__)


@dataclass
class State:
    """Where a training run is.

    Attributes:
        network: the model in its form for training, float32.
        optimizers: over its parameters, each of which one of them moves.
        step: steps done.
        wall_seconds: time spent on them.
        cpu_seconds: processor time spent on them, over all threads.
        recent_loss: sum of the batch losses since the last point of the curve.
        curve: its points so far: ``step``; ``learning_rate`` of it; ``density`` of the matrices
            after it; in nats per token, ``train_loss``, the mean over the steps since the last
            point, and ``held_out_loss``, on a part of the held-out standard library.
    """

    network: CircuitGPTForCausalLM
    optimizers: list[torch.optim.Optimizer]
    step: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    recent_loss: float = 0.0
    curve: list[dict[str, Any]] = field(default_factory=list)

    @property
    def matrices(self) -> list[Tensor]:
        """The tensors whose entries are made sparse, embeddings included."""
        return [tensor for tensor in self.network.parameters() if tensor.ndim == 2]


def fresh(recipe: Recipe, products: torch.dtype = torch.bfloat16) -> State:
    """Return the state of a run before its first step; ``products`` are of what is multiplied."""
    network = untrained(CircuitGPTConfig(**recipe.options), recipe.seed, recipe.start)
    named, decay = dict(network.named_parameters()), recipe.weight_decay
    matrices = {name: tensor for name, tensor in named.items() if tensor.ndim == 2}
    inside = [name for name in matrices if ".h." in name and recipe.optimiser == "muon"]
    groups: list[dict[str, Any]] = [
        {"params": [matrices[name] for name in matrices if name not in inside]},
        {"params": [t for t in named.values() if t.ndim != 2], "weight_decay": 0.0},
    ]
    betas = recipe.betas[0], recipe.betas[1]
    adamw = torch.optim.AdamW(groups, 0.0, betas, weight_decay=decay, fused=True)
    optimizers: list[torch.optim.Optimizer] = [adamw]
    if inside:  # updates as large as AdamW's, so that one learning rate serves both
        moved = [matrices[name] for name in inside]
        optimizers.append(torch.optim.Muon(moved, 0.0, decay, adjust_lr_fn="match_rms_adamw"))
    return State(for_training(network, products), optimizers)


def restore(folder: Path, run: Mapping[str, Any], recipe: Recipe) -> State:
    """Restore the newest state in ``folder``, or start afresh where there is none.

    ``run`` is what tells this run from others, whose states are a ModelError, as damaged ones are.
    """
    state, path = fresh(recipe), folder / NEWEST
    if not path.exists():
        return state
    what = "the state cannot be read; without it the training starts anew"
    try:
        with safe_open(path, "pt") as file:
            told = json.loads(file.metadata()["state"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        whole = told.pop("sha256") == hashlib.sha256(safetensors.torch.save(tensors)).hexdigest()
    except (OSError, ValueError, TypeError, KeyError, AttributeError, SafetensorError) as error:
        raise ModelError(what, where=str(path), found=f"{type(error).__name__}: {error}") from error
    expect(whole, ModelError, what, where=str(path), found="other tensors than were written")
    what = "the folder holds the state of another training: go on with its recipe and corpus"
    expect(told.pop("run") == json.loads(json.dumps(run)), ModelError, what, where=str(folder))
    state.network.load_state_dict({key: tensors[key] for key in tensors if "/" not in key})
    for number, optimizer in enumerate(state.optimizers):
        saved = optimizer.state_dict()
        for key in (key for key in tensors if key.startswith(f"{number}/")):
            _, place, name = key.split("/")
            saved["state"].setdefault(int(place), {})[name] = tensors[key]
        optimizer.load_state_dict(saved)
    return State(state.network, state.optimizers, **told)


def save(folder: Path, run: Mapping[str, Any], state: State) -> None:
    """Write a run's state for `restore`, whole or not at all."""
    told, tensors = {**vars(state), "run": run}, state.network.state_dict()
    for number, optimizer in enumerate(told.pop("optimizers")):  # "optimiser/parameter/moment"
        for place, its in optimizer.state_dict()["state"].items():
            tensors |= {f"{number}/{place}/{name}": moment for name, moment in its.items()}
    del told["network"]
    # the format keeps no digest of its tensors
    told["sha256"] = hashlib.sha256(safetensors.torch.save(tensors)).hexdigest()
    data = safetensors.torch.save(tensors, {"state": json.dumps(told)})
    write_bytes(folder / NEWEST, data, what="the state of the training")


def train(recipe: Recipe, material: Material, folder: Path) -> Iterator[State]:
    """Train from the newest state in ``folder`` on; give the state at each step kept, and the last.

    The folder is another run's, or the corpus too small: that is a ModelError.
    """
    run = {"recipe": asdict(recipe), "corpus": material.manifest["sha256"]}
    state = restore(folder, run, recipe)
    while state.step < recipe.steps:
        wall, cpu = time.monotonic(), time.process_time()
        take_step(state, recipe, material)
        due = state.step % recipe.evaluate_every == 0 or state.step == recipe.steps
        if due:
            state.curve.append(_point(state, recipe, material))
            state.recent_loss = 0.0
        state.wall_seconds += time.monotonic() - wall
        state.cpu_seconds += time.process_time() - cpu
        if state.step in recipe.kept_steps - {recipe.steps}:
            yield state
        if due:
            save(folder, run, state)
            left = (recipe.steps - state.step) * state.wall_seconds / state.step
            _log.info("%s; %s left", state.curve[-1], duration(left))
    yield state


def take_step(state: State, recipe: Recipe, material: Material) -> None:
    """Take one optimiser step: gradients of all parts, the optimisers, then weight sparsity.

    The parts of a batch run side by side, one thread each, and their gradients are added in a
    fixed order, so on one machine the weights do not depend on interruptions or on the number of
    cores up to the number of parts.
    """
    step = state.step + 1
    parameters = list(state.network.parameters())
    parts = batch(material.train, recipe, step)

    def run(part: IntArray) -> tuple[float, tuple[Tensor, ...]]:
        loss = _loss(state.network, part) * (1.0 / len(parts))
        return loss.item(), torch.autograd.grad(loss, parameters)

    losses: list[float] = []

    def take(_: IntArray, result: tuple[float, tuple[Tensor, ...]]) -> None:
        losses.append(result[0])
        for parameter, gradient in zip(parameters, result[1], strict=True):
            parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)

    in_order(parts, run, take, device=torch.device("cpu"))
    # sums over threads depend on their number; the optimiser's part is too short to need them
    with one_thread():
        torch.nn.utils.clip_grad_norm_(parameters, recipe.clip, error_if_nonfinite=True)
        for optimizer in state.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate_at(step)
            optimizer.step()
            optimizer.zero_grad()
        if (density := recipe.density_at(step)) < 1.0:
            for matrix in state.matrices:
                matrix.detach().mul_(kept(matrix, density, recipe.row_floor))
    state.step = step
    state.recent_loss += sum(losses)


def kept(matrix: Tensor, density: float, row_floor: int) -> Tensor:
    """Tell which entries of a matrix stay, bool ``[rows, width]``: the largest, then the first.

    The matrix is float32 on the CPU. Of its entries the share ``density`` stays, rounded to whole
    entries; among them, whatever their size, at least ``row_floor`` (1 or more) of each row.
    """
    rows, width = matrix.shape
    floor = min(row_floor, width)
    count = max(round(density * matrix.numel()), rows * floor)
    # the bits of non-negative floats order as integers do, and numpy selects among those fastest
    size = matrix.detach().abs().numpy().view(np.int32).copy()
    largest = np.argpartition(size, width - floor, axis=1)[:, width - floor :]
    np.put_along_axis(size, largest, np.iinfo(np.int32).max, axis=1)
    flat = size.ravel()
    least = np.partition(flat, flat.size - count)[flat.size - count]
    stays = flat > least
    tied = np.flatnonzero(flat == least)
    stays[tied[: count - int(stays.sum())]] = True
    return torch.from_numpy(stays.reshape(rows, width))


def _point(state: State, recipe: Recipe, material: Material) -> dict[str, Any]:
    since = state.step - (state.curve[-1]["step"] if state.curve else 0)
    nonzero = sum(int(matrix.count_nonzero()) for matrix in state.matrices)
    return {
        "step": state.step,
        "learning_rate": recipe.learning_rate_at(state.step),
        "density": nonzero / sum(matrix.numel() for matrix in state.matrices),
        "train_loss": state.recent_loss / since,
        "held_out_loss": mean_loss(state.network, material.sample()),
    }


def mean_loss(network: nn.Module, rows: IntArray) -> float:
    """Return a causal LM's mean loss, nats, on all but the first of ``[sequences, tokens]``."""
    losses: list[float] = []

    def run(part: IntArray) -> float:
        with torch.inference_mode():
            return float(_loss(network, part, reduction="sum"))

    parts = [rows[n : n + SEQUENCES_PER_CALL] for n in range(0, len(rows), SEQUENCES_PER_CALL)]
    in_order(parts, run, lambda _, loss: losses.append(loss), device=torch.device("cpu"))
    return sum(losses) / float(rows[:, 1:].size)


def _loss(network: nn.Module, rows: IntArray, reduction: str = "mean") -> Tensor:
    """Cross-entropy of each token given the ones before it, over ``[sequences, tokens]``."""
    ids = torch.from_numpy(rows)
    logits = network(ids[:, :-1]).logits
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction=reduction)
