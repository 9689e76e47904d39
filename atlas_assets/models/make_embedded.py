"""Makes the embedded model: ``python -m atlas_assets.models.make_embedded [FOLDER]``.

An untrained circuitgpt checkpoint in the Hub's format, small enough to ship. Its tokenizer is
trained on the standard library of the running interpreter; everything else follows from the
recipe, so the same interpreter and the same recipe give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import tokenizers
from safetensors.torch import save

from atlas_assets.checkpoints.files import END_OF_TEXT
from atlas_assets.formats.atomic import write_bytes
from atlas_assets.formats.shards import ShardStore
from atlas_assets.models.bpe import train_bpe
from atlas_assets.models.circuitgpt_config import CircuitGPTConfig
from atlas_assets.models.corpus import Source, manifest_digest, read_corpus
from atlas_assets.models.loading import ModelSource, load
from atlas_assets.models.untrained import Scales, untrained
from atlas_assets.progress import Progress
from atlas_assets.science import losses, object_prompts
from atlas_assets.stimuli.tables import load_stimuli

HERE = Path(__file__).parent / "embedded"
PREFIX = "circuit_model."

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What the model is made from.

    Attributes:
        seed: of the weights.
        scales: of the weights.
        options: the keys of ``config.json``, without the loss threshold.
    """

    seed: int = 0
    scales: Scales = field(default_factory=Scales)
    options: Mapping[str, Any] = field(
        default_factory=lambda: {
            "block_size": 512,
            "vocab_size": 2048,
            "n_layer": 8,
            "n_head": 8,
            "d_head": 16,
            "d_model": 128,
            "d_mlp": 256,
            "bias": True,
            "ln_bias": True,
            "rms_norm": True,
            "residual_activation_type": "identity",
            "activation_type": "gelu",
            "afrac": 0.25,
            "afrac_loctypes": "attn_in,attn_out,mlp_in,mlp_out,mlp_neuron,attn_v,attn_k,attn_q",
            "tied_unembed": False,
            "enable_bigram_table": False,
            "learnable_bigram_table": False,
            "d_pos_emb": 16,
            "sinusoidal_cat_pos_emb": False,
            "sink": True,
        }
    )


@dataclass(frozen=True)
class Measured:
    """Losses of the finished model on the object prompts, in nats per token.

    Attributes:
        prompts: how many were scored.
        mean: over all prompts.
        highest_pair: the highest mean loss of a pair, which the threshold must let pass.
        longest: tokens of the longest prompt.
    """

    prompts: int
    mean: float
    highest_pair: float
    longest: int

    @property
    def threshold(self) -> float:
        """A threshold that every pair passes: a quarter above the highest, up to the next half."""
        return math.ceil(2 * (self.highest_pair + 0.25)) / 2


def make(folder: Path, sources: Sequence[Source], recipe: Recipe) -> None:
    """Write tokenizer, weights and config to ``folder``.

    Args:
        folder: made if need be; files of the same names are replaced.
        sources: what the tokenizer is trained on.
        recipe: what the model is made from.

    Raises:
        ModelError: the sources are too small for the vocabulary, or an option is not supported.
    """
    config = CircuitGPTConfig(**recipe.options)
    tokenizer = train_bpe((source.text for source in sources), config.vocab_size)
    tensors = untrained(config, recipe.seed, recipe.scales).state_dict()
    if config.tied_unembed:
        del tensors[f"{PREFIX}lm_head.weight"]
    halves = {name: tensor.half().contiguous() for name, tensor in sorted(tensors.items())}
    write_bytes(folder / "tokenizer.json", _text(tokenizer.to_str()), what="the tokenizer")
    special = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END_OF_TEXT,
        "pad_token": END_OF_TEXT,
        "clean_up_tokenization_spaces": False,
        "model_max_length": config.block_size,
    }
    write_bytes(folder / "tokenizer_config.json", _json(special), what="the tokenizer's config")
    weights = save(halves, metadata={"format": "pt"})
    write_bytes(folder / "model.safetensors", weights, what="the weights")
    write_config(folder, recipe, None)


def write_config(folder: Path, recipe: Recipe, loss_threshold: float | None) -> None:
    """Write ``config.json``.

    Args:
        folder: of the checkpoint.
        recipe: its options.
        loss_threshold: nats; None while it is not measured.
    """
    config = {
        "architectures": ["CircuitGPTForCausalLM"],
        "model_type": CircuitGPTConfig.model_type,
        "dtype": "float16",
        **recipe.options,
        "eos_token_id": recipe.options["vocab_size"] - 1,
        "loss_threshold": loss_threshold,
    }
    write_bytes(folder / "config.json", _json(config), what="the config")


def measure(folder: Path, candidates: pl.DataFrame) -> Measured:
    """Score the object prompts with the model in ``folder``.

    Args:
        folder: of the checkpoint.
        candidates: columns ``ast_node``, ``builtin_obj``, ``prompt_text``.

    Raises:
        ModelError: the model cannot be loaded.
    """
    model = load(ModelSource("embedded", folder))
    scores = losses.score(
        model,
        candidates["prompt_text"].to_list(),
        shards=ShardStore(None, _digest(folder)),
        progress=Progress("scoring", _log.info),
    )
    pairs = candidates.select("ast_node", "builtin_obj").with_columns(loss=scores.losses)
    means = pairs.group_by("ast_node", "builtin_obj").agg(pl.col("loss").mean())["loss"]
    return Measured(
        prompts=len(candidates),
        mean=float(scores.losses.mean()),
        highest_pair=float(np.max(means.to_numpy())),
        longest=int(scores.lengths.max()),
    )


def card(folder: Path, recipe: Recipe, sources: Sequence[Source], measured: Measured) -> str:
    """The model card, as Markdown."""
    options = recipe.options
    uniform = math.log(options["vocab_size"])
    model = load(ModelSource("embedded", folder))
    matrices = [tensor for tensor in model.network.state_dict().values() if tensor.ndim == 2]
    entries = sum(tensor.numel() for tensor in matrices)
    density = sum(int(tensor.count_nonzero()) for tensor in matrices) / entries
    python = ".".join(platform.python_version_tuple()[:2])
    size = sum(len(source.text) for source in sources) / 1e6
    return f"""---
license: apache-2.0
library_name: transformers
tags: [circuitgpt, sparse, untrained]
---

# The embedded model

A circuitgpt checkpoint small enough to ship with the package, so that an atlas can be made on a
machine without a network. **Its weights are untrained**: what an atlas of it shows is what chance,
the tokenizer and the architecture give, and no finding about Python.

| | |
|---|---|
| layers, heads | {options["n_layer"]}, {options["n_head"]} |
| d_model, d_mlp, d_head | {options["d_model"]}, {options["d_mlp"]}, {options["d_head"]} |
| block size | {options["block_size"]} tokens; the longest published prompt has {measured.longest} |
| vocabulary | {options["vocab_size"]} byte-level BPE ids; the last is `{END_OF_TEXT}` |
| matrix entries that are not zero | {density:.1%} of {entries:,} |
| activations kept | {options["afrac"]:.0%} at {options["afrac_loctypes"].replace(",", ", ")} |
| position embedding | width {options["d_pos_emb"]}, concatenated |
| also | RMSNorm, attention sink, untied unembedding, no bigram table |
| stored as | float16 |

## How it was made

`python -m atlas_assets.models.make_embedded`; the same interpreter and recipe give the same bytes.

- Weights: seed {recipe.seed} (numpy PCG64, one stream per tensor). Every row of every matrix keeps
  {recipe.scales.density:.0%} of its entries, at least one. The scale of a readout neuron is
  log-normal (median {recipe.scales.readout}, σ {recipe.scales.readout_spread}), so that readouts
  lie on both sides of the published thresholds 0.001, 0.1 and 0.5.
- Tokenizer: trained on {len(sources)} modules ({size:.1f} million characters) of the standard
  library of Python {python}, with tokenizers {tokenizers.__version__}; no seed. SHA-256 over the
  list of files and their digests:
  `{manifest_digest(list(sources))}`.

## Losses

Mean cross-entropy per token, in nats:

| | |
|---|---|
| {measured.prompts:,} object prompts | {measured.mean:.2f} |
| their pair with the highest mean | {measured.highest_pair:.2f} |
| a uniform guess over the vocabulary | {uniform:.2f} |

`loss_threshold` in `config.json` is {measured.threshold}, so every pair of the grid survives.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the model, measure it, and write its config and card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=HERE, help="default: %(default)s")
    parser.add_argument("--variations", type=int, default=50, help="prompts scored per pair")
    parser.add_argument("--seed", type=int, default=Recipe.seed, help="of the weights")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recipe, sources = Recipe(seed=given.seed), read_corpus()
    make(given.folder, sources, recipe)
    candidates = object_prompts.generate(load_stimuli(), variations=given.variations)
    measured = measure(given.folder, candidates)
    write_config(given.folder, recipe, measured.threshold)
    text = card(given.folder, recipe, sources, measured)
    write_bytes(given.folder / "README.md", _text(text), what="the model card")
    total = sum(path.stat().st_size for path in given.folder.iterdir())
    _log.info("%s: %.2f MB, %s", given.folder, total / 1e6, measured)


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def _json(value: Mapping[str, Any]) -> bytes:
    return _text(json.dumps(value, indent=1) + "\n")


def _text(value: str) -> bytes:
    return value.encode()


if __name__ == "__main__":
    main()
