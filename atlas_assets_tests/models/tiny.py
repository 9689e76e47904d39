"""Tiny circuitgpt checkpoints with random weights, written as the Hub's are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from atlas_assets.models.checkpoint_files import END_OF_TEXT
from atlas_assets.models.circuitgpt import CircuitGPTForCausalLM
from atlas_assets.models.circuitgpt_config import LOCATIONS, CircuitGPTConfig

PREFIX = "circuit_model."
VOCABULARY = 257

OPTIONS: dict[str, Any] = {
    "block_size": 32,
    "vocab_size": VOCABULARY,
    "n_layer": 2,
    "n_head": 2,
    "d_head": 6,
    "d_model": 16,
    "d_mlp": 24,
    "bias": True,
    "ln_bias": True,
    "rms_norm": True,
    "residual_activation_type": "identity",
    "activation_type": "gelu",
    "afrac": 0.5,
    "afrac_loctypes": ",".join(LOCATIONS),
    "tied_unembed": False,
    "enable_bigram_table": True,
    "learnable_bigram_table": True,
    "d_pos_emb": 4,
    "sinusoidal_cat_pos_emb": False,
    "sink": True,
}


def config(**changes: Any) -> CircuitGPTConfig:
    return CircuitGPTConfig(**{**OPTIONS, **changes})


def network(seed: int = 0, **changes: Any) -> CircuitGPTForCausalLM:
    """A model whose every tensor is random, biases and norms included."""
    model = CircuitGPTForCausalLM(config(**changes)).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return model


def ids(*shape: int, seed: int = 0, below: int = VOCABULARY) -> torch.Tensor:
    return torch.randint(0, below, shape, generator=torch.Generator().manual_seed(seed))


def readouts(model: CircuitGPTForCausalLM, *inputs: torch.Tensor) -> tuple[Any, torch.Tensor]:
    """Readouts per layer (by forward hooks on the MLP modules) and logits."""
    found: dict[int, torch.Tensor] = {}
    blocks = model.circuit_model.transformer.h
    hooks = [
        block.mlp.register_forward_hook(lambda _m, _i, out, n=n: found.__setitem__(n, out))
        for n, block in enumerate(blocks)
    ]
    with torch.no_grad():
        logits = model(*inputs).logits
    for hook in hooks:
        hook.remove()
    return [found[n] for n in range(len(blocks))], logits


def tensors(model: CircuitGPTForCausalLM, *, prefix: bool = True) -> dict[str, torch.Tensor]:
    """What a checkpoint of ``model`` holds, under the Hub's names."""
    named = model.state_dict()
    if model.config.tied_unembed:
        del named[f"{PREFIX}lm_head.weight"]
    cut = 0 if prefix else len(PREFIX)
    return {name[cut:]: tensor.clone().contiguous() for name, tensor in named.items()}


def byte_tokenizer(end: str | None = END_OF_TEXT) -> Tokenizer:
    """One id per byte and, last, the end of text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    if end is not None:
        tokenizer.add_special_tokens([end])
    return tokenizer


def write(
    folder: Path,
    options: Mapping[str, Any] = OPTIONS,
    weights: Mapping[str, torch.Tensor] | None = None,
    *,
    tokenizer: bool = True,
) -> Path:
    """A checkpoint in the Hub's format; options go to config.json as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"model_type": "circuitgpt", **options})
    (folder / "config.json").write_text(text, encoding="utf-8")
    save_file(dict(weights or tensors(network())), folder / "model.safetensors")
    if tokenizer:
        byte_tokenizer().save(str(folder / "tokenizer.json"))
    return folder
