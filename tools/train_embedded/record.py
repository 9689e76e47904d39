"""The training record, ``training.json``: everything the model card says, and the corpus."""

from __future__ import annotations

import dataclasses
import math
import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from atlas_assets.models.loaded import LoadedModel
from tools.train_embedded.bigram import BigramLoss, best_bigram
from tools.train_embedded.data import TokenStream, windows
from tools.train_embedded.loop import HELD_OUT_LENGTH, held_out_loss
from tools.train_embedded.material import LIBRARY, PROMPTS, Material
from tools.train_embedded.measure import PromptLosses, densities
from tools.train_embedded.recipe import Recipe
from tools.train_embedded.state import State

_PACKAGES = ("torch", "numpy", "tokenizers", "safetensors", "transformers")
#: windows of a stream that is too long to be judged whole, evenly spread
MOST_WINDOWS = 800


@dataclass(frozen=True)
class Judged:
    """Losses of the finished checkpoint, nats per token.

    Attributes:
        tokens: how many were predicted of each held-out stream.
        held_out: the checkpoint's on them, from its half precision weights, by stream.
        trained: its losses on as many tokens that it was trained on, by stream.
        bigram: a smoothed bigram model's on the held-out standard library.
        uniform: a uniform guess's.
        bytes_per_token: of the held-out standard library.
    """

    tokens: dict[str, int]
    held_out: dict[str, float]
    trained: dict[str, float]
    bigram: BigramLoss
    uniform: float
    bytes_per_token: float


def judge(model: LoadedModel, material: Material) -> Judged:
    """Score tokens held out and tokens trained on with a loaded checkpoint and the baselines."""
    rows = {name: _rows(stream, name) for name, stream in material.held_out.items()}
    seen = {name: _rows(stream, name) for name, stream in material.train.items()}
    library = windows(material.held_out[LIBRARY], HELD_OUT_LENGTH)
    text = material.tokenizer.decode(library.ravel().tolist(), skip_special_tokens=False)
    vocabulary = model.tokenizer.vocab_size
    inputs, targets = library[:, :-1], library[:, 1:]
    return Judged(
        tokens={name: part[:, 1:].size for name, part in rows.items()},
        held_out={name: held_out_loss(model.network, part) for name, part in rows.items()},
        trained={name: held_out_loss(model.network, part) for name, part in seen.items()},
        bigram=best_bigram(material.train[LIBRARY].ids, inputs, targets, vocabulary),
        uniform=math.log(vocabulary),
        bytes_per_token=len(text.encode()) / library.size,
    )


def _rows(stream: TokenStream, name: str) -> Any:
    """Windows of the length that a stream is judged at, all or evenly spread ones."""
    rows = windows(stream, 128 if name == PROMPTS else HELD_OUT_LENGTH)
    return rows[:: max(len(rows) // MOST_WINDOWS, 1)]


def make_record(
    model: LoadedModel,
    recipe: Recipe,
    material: Material,
    state: State,
    prompts: PromptLosses,
    residual_factor: float,
) -> dict[str, Any]:
    """Describe a loaded checkpoint and how it came about, as plain data."""
    tokens = state.step * recipe.batch_tokens
    return {
        "recipe": recipe.as_json(),
        "run": {
            "steps": state.step,
            "tokens": tokens,
            "wall_seconds": state.wall_seconds,
            "cpu_seconds": state.cpu_seconds,
            "residual_factor": residual_factor,
        },
        "made_on": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            **{package: version(package) for package in _PACKAGES},
        },
        "losses": dataclasses.asdict(judge(model, material)),
        "object_prompts": {**dataclasses.asdict(prompts), "threshold": prompts.threshold},
        "matrices": densities(model),
        "sha256": {
            "model.safetensors": model.identity.weights_sha256,
            "tokenizer.json": model.identity.tokenizer_sha256,
        },
        "curve": [dataclasses.asdict(point) for point in state.curve],
        "corpus": {"sha256": material.digest, **material.manifest},
    }
