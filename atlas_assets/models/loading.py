"""Loads any causal language model that transformers knows, circuitgpt included.

Weights come from safetensors only and code from no checkpoint.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from atlas_assets.errors import AtlasError, ModelError, SettingsError, expect, shortened
from atlas_assets.models import checkpoint_files as checkpoint
from atlas_assets.models.acceleration import DENSE, accelerate
from atlas_assets.models.circuitgpt_config import CircuitGPTConfig
from atlas_assets.models.circuitgpt_files import read_plain
from atlas_assets.models.fitting import require_fitting, tensors_in
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.models.memory import require_memory
from atlas_assets.models.mlp_checks import checked, require_causal
from atlas_assets.models.mlps import Names, find_mlps
from atlas_assets.models.sites import Site, points_at
from atlas_assets.models.sources import ModelSource, default_loss_threshold, identify, resolve
from atlas_assets.models.special_tokens import Bos
from atlas_assets.models.whole_weights import require_whole

__all__ = ["ModelSource", "default_loss_threshold", "identify", "load", "resolve"]

DTYPES: Mapping[str, torch.dtype] = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}
#: what a config calls the longest sequence
_POSITIONS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")


def load(
    source: ModelSource,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    sparse_weights: bool = True,
    mlp: tuple[str, ...] = (),
    bos: Bos = "auto",
    site: Site = "mlp_out",
) -> LoadedModel:
    """Load a checkpoint for inference.

    Args:
        source: the checkpoint on this machine, as `resolve` finds it.
        device: ``cpu``, ``cuda``, ``cuda:1``, or ``auto`` (a GPU when there is one).
        dtype: precision of the weights, a key of `DTYPES`.
        sparse_weights: run large matrices that are mostly zeros without their zeros
            (`models.acceleration`); results change by the order of float sums.
        mlp: names of the modules that make up a block's MLP, with ``*`` for the layer; found if
            empty.
        bos: whether prompts begin with the model's beginning-of-sequence token.
        site: what is read in each block.

    Raises:
        SettingsError: no such device or dtype, or ``mlp`` names no modules.
        ModelError: a file is missing or damaged, the tensors do not fit, an option is not
            supported, the tokenizer does not fit, the MLP modules or the site cannot be found, or
            the process may take too little memory.
    """
    expect(
        dtype in DTYPES,
        SettingsError,
        "there is no such precision",
        where="dtype",
        expected=", ".join(DTYPES),
        found=repr(dtype),
        remedy="correct ATLAS_DTYPE",
    )
    where, precision = device_named(device), DTYPES[dtype]
    config = checkpoint.read_config(source.folder)
    weights = checkpoint.weight_files(source.folder)
    require_whole(weights)
    require_fitting(source.folder, config, tensors_in(weights))
    identity = identify(source)
    require_memory(sum(file.stat().st_size for file in weights))
    tokenizer = checkpoint.CheckpointTokenizer(source.folder, config, bos)
    network = _read_network(source.folder, config, precision)
    network = network.eval().requires_grad_(False).to(where)
    embedding = network.get_input_embeddings()
    if isinstance(embedding, nn.Embedding):
        tokenizer.fit(embedding.num_embeddings)
    base = network.base_model
    names = mlps_of(network, mlp)
    kernels = accelerate(network) if sparse_weights else DENSE
    points, width = points_at(network, base, names, site)
    return LoadedModel(
        network=network,
        base=base,
        points=points,
        width=width,
        tokenizer=tokenizer,
        device=next(network.parameters()).device,
        dtype=precision,
        max_positions=max_positions(network.config),
        identity=identity,
        kernels=kernels,
    )


def mlps_of(network: Any, patterns: tuple[str, ...] = ()) -> Names:
    """Return, per layer, the names of the modules that are read, checked where they were found.

    Errors are those of `find_mlps`; and ModelError where the model is not causal, or cannot be run.
    """
    if isinstance(network.config, CircuitGPTConfig):
        return find_mlps(network, patterns)
    try:
        require_causal(network)
        names = find_mlps(network, patterns)
        return names if patterns else checked(network, network.base_model, names)
    except AtlasError:
        raise
    except Exception as error:  # networks fail in their own ways
        raise ModelError(
            "the model cannot be run on tokens alone",
            where=type(network).__name__,
            expected="a causal language model that takes token ids",
            found=f"{type(error).__name__}: {shortened(str(error))}",
            remedy="choose another model",
        ) from error


def _read_network(folder: Path, config: Mapping[str, Any], dtype: torch.dtype) -> Any:
    if config["model_type"] == CircuitGPTConfig.model_type:
        plain = read_plain(folder, dtype)
        if plain is not None:
            return plain
    from atlas_assets.models.transformers_loading import read_network

    return read_network(folder, config, dtype)


def max_positions(config: Any) -> int:
    """The config's longest sequence; without one (relative positions) there is no limit."""
    text = config.get_text_config()
    for name in _POSITIONS:
        size = getattr(text, name, None)
        if isinstance(size, int) and size > 0:
            return size
    return sys.maxsize


def device_named(name: str) -> torch.device:
    """Return the device that ATLAS_DEVICE names; SettingsError where this machine has none such."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, TypeError) as error:  # AssertionError: no CUDA built in
        raise SettingsError(
            "there is no such device on this machine",
            where="device",
            expected="auto, cpu, or a GPU that torch sees, as cuda or cuda:1",
            found=f"{name!r}: {str(error).splitlines()[0]}",
            remedy="correct ATLAS_DEVICE",
        ) from error
