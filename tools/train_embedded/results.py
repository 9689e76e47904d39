"""What a finished training leaves: a checkpoint in the Hub's format, its record and its card."""

from __future__ import annotations

import copy
import json
import math
import os
import platform
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import polars as pl
import torch
from safetensors.torch import save

from atlas_assets.errors import ModelError, expect
from atlas_assets.extraction.extraction import score
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.files.atomic import write_bytes
from atlas_assets.models.checkpoint_files import END_OF_TEXT
from atlas_assets.models.circuitgpt import CircuitGPTForCausalLM
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.models.loading import ModelSource, load
from atlas_assets.models.mlps import find_mlps
from atlas_assets.progress import Progress, duration
from tools.train_embedded.material import HELD_OUT_LENGTH, IntArray, Material, discovers
from tools.train_embedded.recipe import Recipe
from tools.train_embedded.training import State, mean_loss, train

#: rows that a stream is judged by where it has twice as many, evenly spread
MOST_ROWS = 800
#: weights of the unigram model tried; the best one on the held-out tokens is taken
SMOOTHINGS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
#: what writes to the residual stream
_WRITERS = ("c_proj.weight", "c_proj.bias", "transformer.wte.weight")
_PACKAGES = ("torch", "numpy", "tokenizers", "safetensors", "transformers")


def make(
    folder: Path, states: Path, recipe: Recipe, material: Material, prompts: pl.DataFrame
) -> None:
    """Train a model and write its checkpoint, record and card.

    Args:
        folder: of the checkpoint; files of the same names are replaced at the end.
        states: folder of the training's state, from which a killed run goes on, and of checkpoints
            of the steps that the recipe keeps: ``step-000030``, ….
        recipe: what the model is made from.
        material: what it is trained and judged on.
        prompts: object prompts whose losses are measured.

    Raises:
        ModelError: the material is too small, or ``states`` holds another run's state.
        ArtifactWriteError: a file cannot be written.
    """
    for state in train(recipe, material, states):
        write_checkpoint(states / f"step-{state.step:06d}", state, recipe, material)
    factor = write_checkpoint(folder, state, recipe, material)
    model = load(ModelSource("embedded", folder))
    losses = prompt_losses(model, prompts)
    write_checkpoint(folder, state, recipe, material, losses["threshold"])
    record = {
        "recipe": asdict(recipe),
        "run": {
            "steps": state.step,
            "tokens": state.step * recipe.batch_tokens,
            "wall_seconds": state.wall_seconds,
            "cpu_seconds": state.cpu_seconds,
            "residual_factor": factor,
        },
        "made_on": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            **{package: version(package) for package in _PACKAGES},
        },
        "losses": judge(model, material),
        "object_prompts": losses,
        "matrices": densities(model),
        "sha256": {
            "model.safetensors": model.identity.weights_sha256,
            "tokenizer.json": model.identity.tokenizer_sha256,
        },
        "curve": state.curve,
        "corpus": material.manifest,
    }
    _write_json(folder / "training.json", record)
    write_bytes(folder / "README.md", card(record).encode(), what="the model card")


def write_checkpoint(
    folder: Path, state: State, recipe: Recipe, material: Material, threshold: float | None = None
) -> float:
    """Write weights in half precision, tokenizer and config; return `set_residual_scale`'s factor.

    Equal weights give equal bytes. ``threshold`` is the loss threshold in nats, if it is measured.
    """
    network = copy.deepcopy(state.network)  # the training goes on with its own scale
    factor = set_residual_scale(network, material.sample())
    halves = {key: tensor.half().contiguous() for key, tensor in network.state_dict().items()}
    write_bytes(folder / "model.safetensors", save(halves, {"format": "pt"}), what="the weights")
    tokenizer = material.tokenizer.to_str().encode()
    write_bytes(folder / "tokenizer.json", tokenizer, what="the tokenizer")
    of_tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END_OF_TEXT,
        "pad_token": END_OF_TEXT,
        "clean_up_tokenization_spaces": False,
        "model_max_length": recipe.options["block_size"],
    }
    _write_json(folder / "tokenizer_config.json", of_tokenizer)
    config = {
        "architectures": ["CircuitGPTForCausalLM"],
        "model_type": "circuitgpt",
        "dtype": "float16",
        **recipe.options,
        "eos_token_id": recipe.options["vocab_size"] - 1,
        "loss_threshold": threshold,
    }
    _write_json(folder / "config.json", config)
    return factor


def _write_json(path: Path, value: dict[str, Any]) -> None:
    write_bytes(path, (json.dumps(value, indent=1) + "\n").encode(), what=path.name)


def set_residual_scale(network: CircuitGPTForCausalLM, rows: IntArray) -> float:
    """Scale readouts in place to a root mean square of about 1 where not zero; return the factor.

    Every block and the unembedding read the residual stream through an RMSNorm, so that multiplying
    all that is written to it by one factor changes the logits by rounding alone. Readouts change by
    that factor, and masks compare them with fixed ε, so the scale training happens to end with is
    set by this rule. A power of two is exact; only the norms' epsilon weighs more or less.

    Args:
        network: with RMSNorm, positions beside the stream and an unembedding of its own; else, or
            where every readout is zero, it is a ModelError.
        rows: int64 ``[sequences, tokens]`` on which readouts are measured.
    """
    config = network.config
    free = config.rms_norm and config.d_pos_emb is not None and not config.tied_unembed
    expect(free, ModelError, "the residual stream of this network has no free scale")
    size = readout_size(network, rows)
    expect(size > 0, ModelError, "all readouts of the trained network are zeros")
    factor = 2.0 ** -round(math.log2(size))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(_WRITERS):
                parameter.mul_(factor)
    return factor


def readout_size(network: CircuitGPTForCausalLM, rows: IntArray) -> float:
    """Return the root mean square of all readouts that are not zero, over layers and positions."""
    readouts: list[torch.Tensor] = []
    with ExitStack() as hooks, torch.inference_mode():
        for (name,) in find_mlps(network):
            mlp = network.get_submodule(name)
            hooks.enter_context(mlp.register_forward_hook(lambda _m, _i, out: readouts.append(out)))
        network(torch.from_numpy(rows))
    squares = torch.stack(readouts).double().square()
    return math.sqrt(float(squares.sum()) / max(int(squares.count_nonzero()), 1))


def card(record: Mapping[str, Any]) -> str:
    """Write the model card as Markdown, from a training record alone."""
    text = Path(__file__).with_name("card.md.j2").read_text("utf-8")
    kept: dict[str, Any] = {"trim_blocks": True, "keep_trailing_newline": True}
    template = jinja2.Template(text, undefined=jinja2.StrictUndefined, **kept)
    return str(template.render(record, duration=duration))


def judge(model: LoadedModel, material: Material) -> dict[str, Any]:
    """Score tokens held out and tokens trained on with a loaded checkpoint and the baselines.

    Returns:
        ``tokens``, how many were predicted of each held-out stream; losses in nats per token:
        ``held_out`` and ``trained``, the checkpoint's by stream, from its half precision weights;
        ``bigram``, the best of `bigram_losses` on the held-out standard library, and ``uniform``, a
        uniform guess's; and ``bytes_per_token`` of the held-out standard library.
    """
    lengths = {"library": HELD_OUT_LENGTH, "packages": HELD_OUT_LENGTH, "prompts": 128}
    held_out = {n: material.held_out[n].rows(length, MOST_ROWS) for n, length in lengths.items()}
    trained = {n: material.train[n].rows(length, MOST_ROWS) for n, length in lengths.items()}
    library, vocabulary = held_out["library"], model.tokenizer.vocab_size
    text = material.tokenizer.decode(library.ravel().tolist(), skip_special_tokens=False)
    bigram = bigram_losses(material.train["library"].ids, library, vocabulary)
    smoothing = min(bigram, key=bigram.__getitem__)
    return {
        "tokens": {name: rows[:, 1:].size for name, rows in held_out.items()},
        "held_out": {name: mean_loss(model.network, rows) for name, rows in held_out.items()},
        "trained": {name: mean_loss(model.network, rows) for name, rows in trained.items()},
        "bigram": {"loss": bigram[smoothing], "smoothing": smoothing},
        "uniform": math.log(vocabulary),
        "bytes_per_token": len(text.encode()) / library.size,
    }


def bigram_losses(train: IntArray, rows: IntArray, vocab_size: int) -> dict[float, float]:
    """Return smoothed bigram models' losses, mean −ln p(target | input) in nats, by smoothing s.

    p(b | a) = (count(a b) + s · p(b)) / (count(a) + s), where p(b) is the unigram model with one
    added to each count, and counts are those of ``train``, int64 ``[tokens]``. Targets are all
    tokens but the first of each of ``rows``, int64 ``[sequences, tokens]``.
    """
    single = np.bincount(train, minlength=vocab_size) + 1.0
    pairs = np.bincount(train[:-1] * vocab_size + train[1:], minlength=vocab_size**2)
    inputs, targets = rows[:, :-1].ravel(), rows[:, 1:].ravel()
    seen, unigram = pairs[inputs * vocab_size + targets], (single / single.sum())[targets]
    before = np.bincount(train[:-1], minlength=vocab_size)[inputs]
    return {s: float(-np.log((seen + s * unigram) / (before + s)).mean()) for s in SMOOTHINGS}


def prompt_losses(model: LoadedModel, prompts: pl.DataFrame) -> dict[str, Any]:
    """Score object prompts, by pair and ``variation_id``, with a finished checkpoint.

    Returns:
        ``prompts``, how many; in nats per token ``mean`` and ``highest_pair``, the highest mean of
        a pair in one half of the domains, those trained on or those held out; ``longest``, tokens
        of the longest one; and ``threshold``, a loss that every pair stays below: a quarter above
        the highest, up to the next half.
    """
    shards = ShardStore(None, str(model.identity.weights_sha256))
    scores = score(model, list(prompts["prompt_text"]), shards=shards, progress=Progress("scoring"))
    pairs = prompts.with_columns(half=discovers(), loss=scores.losses)
    means = pairs.group_by("ast_node", "builtin_obj", "half").agg(pl.col("loss").mean())
    highest = float(means["loss"].to_numpy().max())
    return {
        "prompts": len(prompts),
        "mean": float(scores.losses.mean()),
        "highest_pair": highest,
        "longest": int(scores.lengths.max()),
        "threshold": math.ceil(2 * (highest + 0.25)) / 2,
    }


def densities(model: LoadedModel) -> dict[str, dict[str, int]]:
    """Count entries and non-zero entries of the matrices, by kind and over all (key ``all``).

    A kind is a tensor's name without the layer's number: ``attn.c_attn``, ``wte``, ….
    """
    found = {"all": {"entries": 0, "nonzero": 0}}
    for name, tensor in model.network.state_dict().items():
        kind = re.sub(r".*\.(h\.\d+|transformer|circuit_model)\.|\.weight$", "", f".{name}")
        for key in (kind, "all") if tensor.ndim == 2 else ():
            sums = found.setdefault(key, {"entries": 0, "nonzero": 0})
            sums["entries"] += tensor.numel()
            sums["nonzero"] += int(tensor.count_nonzero())
    return {kind: found[kind] for kind in sorted(found, key=lambda kind: (kind == "all", kind))}
