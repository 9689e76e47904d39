"""A trained network as a checkpoint in the Hub's format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from tokenizers import Tokenizer

from atlas_assets.files.atomic import write_bytes
from atlas_assets.models.checkpoint_files import END_OF_TEXT
from atlas_assets.models.circuitgpt import CircuitGPTForCausalLM
from atlas_assets.models.circuitgpt_config import CircuitGPTConfig

#: the checkpoint that ships with the package
EMBEDDED = Path(__file__).parents[2] / "atlas_assets" / "models" / "embedded"
_PREFIX = "circuit_model."


def write_tokenizer(folder: Path, tokenizer: Tokenizer, block_size: int) -> None:
    """Write ``tokenizer.json`` and ``tokenizer_config.json``.

    Args:
        folder: of the checkpoint, made if need be.
        tokenizer: with ``<|endoftext|>`` among its ids.
        block_size: longest sequence of the model, in tokens.
    """
    told = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END_OF_TEXT,
        "pad_token": END_OF_TEXT,
        "clean_up_tokenization_spaces": False,
        "model_max_length": block_size,
    }
    write_bytes(folder / "tokenizer.json", tokenizer.to_str().encode(), what="the tokenizer")
    write_bytes(folder / "tokenizer_config.json", as_json(told), what="the tokenizer's config")


def write_weights(folder: Path, network: CircuitGPTForCausalLM) -> None:
    """Write ``model.safetensors`` in half precision; equal weights give equal bytes."""
    tensors = network.state_dict()
    if network.config.tied_unembed:
        del tensors[f"{_PREFIX}lm_head.weight"]
    halves = {name: tensor.half().contiguous() for name, tensor in sorted(tensors.items())}
    data = save(halves, metadata={"format": "pt"})
    write_bytes(folder / "model.safetensors", data, what="the weights")


def write_config(folder: Path, options: Mapping[str, Any], loss_threshold: float | None) -> None:
    """Write ``config.json``.

    Args:
        folder: of the checkpoint.
        options: keys of `CircuitGPTConfig`.
        loss_threshold: nats; None while it is not measured.
    """
    config = {
        "architectures": ["CircuitGPTForCausalLM"],
        "model_type": CircuitGPTConfig.model_type,
        "dtype": "float16",
        **options,
        "eos_token_id": options["vocab_size"] - 1,
        "loss_threshold": loss_threshold,
    }
    write_bytes(folder / "config.json", as_json(config), what="the config")


def as_json(value: Mapping[str, Any]) -> bytes:
    """Encode a value as indented JSON with a newline at its end."""
    return (json.dumps(value, indent=1) + "\n").encode()
