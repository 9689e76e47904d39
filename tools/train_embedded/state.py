"""A training run's state, and its file: one safetensors file with JSON in its metadata."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from atlas_assets.errors import ModelError, expect
from atlas_assets.files.atomic import write_bytes
from atlas_assets.models.circuitgpt import CircuitGPTForCausalLM
from atlas_assets.models.circuitgpt_config import CircuitGPTConfig
from tools.train_embedded.network import for_training
from tools.train_embedded.recipe import Recipe
from tools.train_embedded.untrained import untrained

NEWEST = "newest.safetensors"
_WEIGHT = "weight"


@dataclass(frozen=True)
class Point:
    """One point of the loss curve.

    Attributes:
        step: optimiser steps done.
        learning_rate: of that step.
        density: of the matrices after it.
        train_loss: mean over the steps since the last point, nats per token.
        held_out_loss: on a part of the held-out tokens, nats per token.
    """

    step: int
    learning_rate: float
    density: float
    train_loss: float
    held_out_loss: float


@dataclass
class State:
    """Where a training run is: its weights, its optimisers and its loss curve.

    Attributes:
        network: the model in its form for training, float32.
        optimizers: over its parameters, each of which one of them moves.
        step: steps done.
        wall_seconds: time spent on them, pauses of the process included.
        cpu_seconds: processor time spent on them, over all threads.
        recent_loss: sum of the batch losses since the last point.
        curve: points so far.
    """

    network: CircuitGPTForCausalLM
    optimizers: list[torch.optim.Optimizer]
    step: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    recent_loss: float = 0.0
    curve: list[Point] = field(default_factory=list)

    @property
    def matrices(self) -> list[Tensor]:
        """The tensors whose entries are made sparse, embeddings included."""
        return [tensor for tensor in self.network.parameters() if tensor.ndim == 2]

    def moments(self, parameter: Tensor) -> dict[str, Tensor]:
        """What its optimiser keeps of a parameter, by name; empty before the first step."""
        return next(
            (each.state[parameter] for each in self.optimizers if parameter in each.state), {}
        )


def fresh(recipe: Recipe) -> State:
    """Return the state of a run before its first step."""
    network = untrained(CircuitGPTConfig(**recipe.options), recipe.seed, recipe.start)
    named = dict(network.named_parameters())
    matrices = {name: tensor for name, tensor in named.items() if tensor.ndim == 2}
    inside = {
        name: tensor
        for name, tensor in matrices.items()
        if ".h." in name and recipe.optimiser == "muon"
    }
    decay = recipe.weight_decay
    groups: list[dict[str, Any]] = [
        {"params": [matrices[name] for name in matrices if name not in inside]},
        {"params": [t for t in named.values() if t.ndim != 2], "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=0.0, betas=recipe.betas, weight_decay=decay, fused=True)
    ]
    if inside:  # updates as large as AdamW's, so that one learning rate serves both
        optimizers.append(
            torch.optim.Muon(
                inside.values(), lr=0.0, weight_decay=decay, adjust_lr_fn="match_rms_adamw"
            )
        )
    return State(for_training(network), optimizers)


def save_state(path: Path, state: State, recipe: Recipe, corpus: str) -> None:
    """Write a run's state to a file, whole or not at all.

    Args:
        path: the file.
        state: of a run that has made at least one step.
        recipe: what the run makes its model from.
        corpus: digest of what it is trained on.

    Raises:
        ArtifactWriteError: the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for name, parameter in state.network.named_parameters():
        tensors[f"{_WEIGHT}/{name}"] = parameter.detach()
        for moment, tensor in state.moments(parameter).items():
            tensors[f"{moment}/{name}"] = tensor
    told = {
        "recipe": recipe.digest(),
        "corpus": corpus,
        "step": state.step,
        "wall_seconds": state.wall_seconds,
        "cpu_seconds": state.cpu_seconds,
        "recent_loss": state.recent_loss,
        "curve": [dataclasses.asdict(point) for point in state.curve],
    }
    data = save(tensors, metadata={"state": json.dumps(told)})
    write_bytes(path, data, what="the state of the training")


def restore(folder: Path, recipe: Recipe, corpus: str) -> State:
    """Restore the newest state of this run from ``folder``, or start afresh without any file.

    Raises:
        ModelError: the state there is another run's, or cannot be read.
    """
    path = folder / NEWEST
    if not path.exists():
        return fresh(recipe)
    told, tensors = _read(path)
    expect(
        (told["recipe"], told["corpus"]) == (recipe.digest(), corpus),
        ModelError,
        "the folder holds the state of another training",
        where=str(folder),
        expected=f"a state of recipe {recipe.digest()[:12]} and corpus {corpus[:12]}",
        found=f"recipe {told['recipe'][:12]} and corpus {told['corpus'][:12]}",
        remedy="go on with that run's recipe, or choose or empty another folder",
    )
    return _rebuild(told, tensors, recipe)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            told: dict[str, Any] = json.loads(file.metadata()["state"])
            return told, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            "the state of the training cannot be read",
            where=str(path),
            expected="a safetensors file written by this program",
            found=str(error),
            remedy="delete it; the training then starts anew",
        ) from error


def _rebuild(told: Mapping[str, Any], tensors: Mapping[str, Tensor], recipe: Recipe) -> State:
    state = fresh(recipe)
    by_name: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        kind, _, name = key.partition("/")
        by_name.setdefault(name, {})[kind] = tensor
    movers = {
        id(parameter): optimizer
        for optimizer in state.optimizers
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    with torch.no_grad():
        for name, parameter in state.network.named_parameters():
            parameter.copy_(by_name[name].pop(_WEIGHT))
            movers[id(parameter)].state[parameter] = by_name[name]
    state.step = told["step"]
    state.wall_seconds, state.cpu_seconds = told["wall_seconds"], told["cpu_seconds"]
    state.recent_loss = told["recent_loss"]
    state.curve = [Point(**point) for point in told["curve"]]
    return state
