"""The training record, ``training.json``: everything the model card says, and the corpus."""

from __future__ import annotations

import dataclasses
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from atlas_assets.models.loaded import LoadedModel
from tools.train_embedded.bigram import BigramLoss, best_bigram
from tools.train_embedded.corpus import Source, manifest_digest
from tools.train_embedded.data import TokenStream, windows
from tools.train_embedded.loop import HELD_OUT_LENGTH, held_out_loss
from tools.train_embedded.measure import PromptLosses, densities
from tools.train_embedded.recipe import Recipe
from tools.train_embedded.state import State

_PACKAGES = ("torch", "numpy", "tokenizers", "safetensors", "transformers")


@dataclass(frozen=True)
class Corpus:
    """What a model is trained and judged on.

    Attributes:
        sources: every file, sorted by name.
        held_out_names: names of the files held out.
        train: tokens of the others.
        held_out: tokens of those.
    """

    sources: Sequence[Source]
    held_out_names: frozenset[str]
    train: TokenStream
    held_out: TokenStream

    @property
    def digest(self) -> str:
        """SHA-256 over names and digests of all files."""
        return manifest_digest(list(self.sources))


@dataclass(frozen=True)
class HeldOut:
    """Losses of the finished checkpoint and of the baselines on the same tokens, nats per token.

    Attributes:
        tokens: how many were predicted.
        loss: the checkpoint's, from its half precision weights.
        bigram: a smoothed bigram model's.
        uniform: a uniform guess's.
    """

    tokens: int
    loss: float
    bigram: BigramLoss
    uniform: float


def judge(model: LoadedModel, corpus: Corpus) -> HeldOut:
    """Score the held-out tokens with a loaded checkpoint and with the baselines."""
    vocabulary = model.tokenizer.vocab_size
    rows = windows(corpus.held_out, HELD_OUT_LENGTH)
    return HeldOut(
        tokens=rows.shape[0] * (rows.shape[1] - 1),
        loss=held_out_loss(model.network, rows),
        bigram=best_bigram(corpus.train.ids, rows[:, :-1], rows[:, 1:], vocabulary),
        uniform=math.log(vocabulary),
    )


def make_record(
    model: LoadedModel,
    recipe: Recipe,
    corpus: Corpus,
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
            "epochs": tokens / len(corpus.train.ids),
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
        "held_out": dataclasses.asdict(judge(model, corpus)),
        "object_prompts": {**dataclasses.asdict(prompts), "threshold": prompts.threshold},
        "matrices": densities(model),
        "sha256": {
            "model.safetensors": model.identity.weights_sha256,
            "tokenizer.json": model.identity.tokenizer_sha256,
        },
        "curve": [dataclasses.asdict(point) for point in state.curve],
        "corpus": _describe(corpus),
    }


def _describe(corpus: Corpus) -> dict[str, Any]:
    return {
        "sha256": corpus.digest,
        "characters": sum(len(source.text) for source in corpus.sources),
        "train_files": len(corpus.sources) - len(corpus.held_out_names),
        "train_tokens": len(corpus.train.ids),
        "held_out_files": len(corpus.held_out_names),
        "held_out_tokens": len(corpus.held_out.ids),
        "held_out": sorted(corpus.held_out_names),
        "files": {source.name: source.sha256 for source in corpus.sources},
    }
