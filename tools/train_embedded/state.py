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
from tools.train_embedded.recipe import Recipe
from tools.train_embedded.untrained import untrained

#: the newest state, and the one when the matrices are sparse, from which a run of other length can
#: go on
NEWEST, TRUNK_END = "newest.safetensors", "trunk_end.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq")
_STEP = "step"


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
    """Where a training run is: its weights, its optimiser and its loss curve.

    Attributes:
        network: the model, float32, gradients wanted.
        optimizer: AdamW over its parameters.
        step: steps done.
        wall_seconds: time spent on them, pauses of the process included.
        cpu_seconds: processor time spent on them, over all threads.
        recent_loss: sum of the batch losses since the last point.
        curve: points so far.
    """

    network: CircuitGPTForCausalLM
    optimizer: torch.optim.AdamW
    step: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    recent_loss: float = 0.0
    curve: list[Point] = field(default_factory=list)

    @property
    def matrices(self) -> list[Tensor]:
        """The tensors whose entries are made sparse, embeddings included."""
        return [tensor for tensor in self.network.parameters() if tensor.ndim == 2]


def fresh(recipe: Recipe) -> State:
    """Return the state of a run before its first step."""
    network = untrained(CircuitGPTConfig(**recipe.options), recipe.seed, recipe.start)
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim == 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim != 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=recipe.betas, fused=True)
    return State(network, optimizer)


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
        tensors[f"weight/{name}"] = parameter.detach()
        for moment in _MOMENTS:
            tensors[f"{moment}/{name}"] = state.optimizer.state[parameter][moment]
    told = {
        "trunk": recipe.trunk_digest(),
        "steps": recipe.steps,
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
    """Restore the latest state of this run from ``folder``, or start afresh without any file.

    A state of a run with another number of steps counts until the matrices are sparse.

    Raises:
        ModelError: there are states, and none is of this run, or one cannot be read.
    """
    found = []
    for path in (folder / NEWEST, folder / TRUNK_END):
        if not path.exists():
            continue
        told, tensors = _read(path)
        if _fits(told, recipe, corpus):
            return _rebuild(told, tensors, recipe)
        found.append(f"{path.name} at step {told['step']} of {told['steps']}")
    expect(
        not found,
        ModelError,
        "the folder holds the state of another training",
        where=str(folder),
        expected=f"a state of this recipe and corpus, up to step {recipe.annealed_step}",
        found=", ".join(found),
        remedy="go on with that run's recipe, or choose or empty another folder",
    )
    return fresh(recipe)


def _fits(told: Mapping[str, Any], recipe: Recipe, corpus: str) -> bool:
    if (told["trunk"], told["corpus"]) != (recipe.trunk_digest(), corpus):
        return False
    common: bool = told["step"] <= recipe.annealed_step
    return common or told["steps"] == recipe.steps


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
            remedy="delete it; the training then starts from an earlier state",
        ) from error


def _rebuild(told: Mapping[str, Any], tensors: Mapping[str, Tensor], recipe: Recipe) -> State:
    state = fresh(recipe)
    with torch.no_grad():
        for name, parameter in state.network.named_parameters():
            parameter.copy_(tensors[f"weight/{name}"])
            moments = {moment: tensors[f"{moment}/{name}"] for moment in _MOMENTS}
            step = torch.tensor(float(told["step"]))
            state.optimizer.state[parameter] = {_STEP: step, **moments}
    state.step = told["step"]
    state.wall_seconds, state.cpu_seconds = told["wall_seconds"], told["cpu_seconds"]
    state.recent_loss = told["recent_loss"]
    state.curve = [Point(**point) for point in told["curve"]]
    return state
