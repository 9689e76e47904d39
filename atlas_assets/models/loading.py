"""Loads any causal language model that transformers knows, circuitgpt included.

Weights come from safetensors only and code from no checkpoint.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

import atlas_assets.models.circuitgpt  # noqa: F401 - registers the family with transformers
from atlas_assets.errors import AtlasError, ModelError, SettingsError, expect
from atlas_assets.models import checkpoint_files as checkpoint
from atlas_assets.models.acceleration import DENSE, accelerate
from atlas_assets.models.circuitgpt_config import CircuitGPTConfig
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.models.mlps import find_mlps, readout_width
from atlas_assets.models.sources import ModelSource, default_loss_threshold, identify, resolve

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
) -> LoadedModel:
    """Load a checkpoint for inference.

    Args:
        source: the checkpoint on this machine, as `resolve` finds it.
        device: ``cpu``, ``cuda``, ``cuda:1``, or ``auto`` (a GPU when there is one).
        dtype: precision of the weights, a key of `DTYPES`.
        sparse_weights: run large matrices that are mostly zeros without their zeros
            (`models.acceleration`); results change by the order of float sums.

    Raises:
        SettingsError: no such device or dtype.
        ModelError: a file is missing or damaged, the tensors do not fit, an option is not
            supported, the tokenizer does not fit, or the MLP modules cannot be found.
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
    where, precision = _device(device), DTYPES[dtype]
    config = checkpoint.read_config(source.folder)
    identity = identify(source)
    tokenizer = checkpoint.CheckpointTokenizer(source.folder, config)
    network = _read_network(source, config, precision).to(where)
    embedding = network.get_input_embeddings()
    rows = embedding.num_embeddings if isinstance(embedding, nn.Embedding) else None
    expect(
        rows is None or tokenizer.largest_id < rows,
        ModelError,
        "the tokenizer does not belong to the model",
        where=str(source.folder),
        expected=f"token ids below {rows}, the rows of the embedding",
        found=f"ids up to {tokenizer.largest_id}",
        remedy="put the model's own tokenizer beside its weights",
    )
    base = network.base_model
    mlps = find_mlps(network)
    kernels = accelerate(network) if sparse_weights else DENSE
    return LoadedModel(
        network=network,
        base=base,
        mlps=mlps,
        width=readout_width(base, mlps),
        tokenizer=tokenizer,
        device=next(network.parameters()).device,
        dtype=precision,
        max_positions=max_positions(network.config),
        identity=identity,
        kernels=kernels,
    )


def _read_network(source: ModelSource, config: Mapping[str, Any], dtype: torch.dtype) -> Any:
    try:
        with _quiet():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                str(source.folder),
                dtype=dtype,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # so that they are named below, by us
            )
    except AtlasError:
        raise
    except Exception as error:  # transformers raises OSError, ValueError, KeyError and more
        raise ModelError(
            "the model cannot be loaded",
            where=str(source.folder),
            expected="a causal language model that transformers knows, without code of its own",
            found=f"model_type {config['model_type']!r}: {error}",
            remedy="choose a model that transformers loads without remote code, or fetch it again",
        ) from error
    network, info = loaded
    is_ours = isinstance(network.config, CircuitGPTConfig)
    checkpoint.check_loaded(info, where=str(source.folder), extra_allowed=not is_ours)
    return network.eval().requires_grad_(False)


def max_positions(config: Any) -> int:
    """The config's longest sequence; without one (relative positions) there is no limit."""
    text = config.get_text_config()
    for name in _POSITIONS:
        size = getattr(text, name, None)
        if isinstance(size, int) and size > 0:
            return size
    return sys.maxsize


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # the latter: torch built without CUDA
        raise SettingsError(
            "there is no such device on this machine",
            where="device",
            expected="auto, cpu, or a GPU that torch sees, as cuda or cuda:1",
            found=f"{name!r}: {str(error).splitlines()[0]}",
            remedy="correct ATLAS_DEVICE",
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide the progress bars of transformers for a while: loading is brief and fills the logs."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
