"""Loads any causal language model that transformers knows, circuitgpt included.

Only what needs transformers' classes imports this module, which takes 3.5 s of processor time.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
)
from transformers.utils import logging as transformers_logging

import atlas_assets.models.circuitgpt  # noqa: F401 - registers the family with transformers
from atlas_assets.errors import AtlasError, ModelError, shortened
from atlas_assets.models import checkpoint_files as checkpoint
from atlas_assets.models.circuitgpt_config import CircuitGPTConfig
from atlas_assets.models.circuitgpt_files import Undrawn
from atlas_assets.models.fitting import require_size, tensors_in


def read_network(folder: Path, config: Mapping[str, Any], dtype: torch.dtype) -> Any:
    """Return the network of a checkpoint's folder, on the CPU.

    Args:
        folder: the checkpoint.
        config: its ``config.json``.
        dtype: precision of the weights.

    Raises:
        ModelError: transformers cannot load it, it is no causal language model, or its tensors do
            not fit.
    """
    loader, network_config = _loader(folder)
    try:
        _require_size(folder, loader, network_config)
        with _quiet():
            loaded: Any = loader.from_pretrained(
                str(folder),
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
        raise _not_loaded(folder, config, error) from error
    network, info = loaded
    is_ours = isinstance(network.config, CircuitGPTConfig)
    checkpoint.check_loaded(info, where=str(folder), extra_allowed=not is_ours)
    return network


def _require_size(folder: Path, loader: Any, config: Any) -> None:
    """Refuse a config of a far larger network than the weights, by one that takes no memory."""
    if getattr(config, "quantization_config", None) is not None:
        return  # several numbers lie in one
    try:
        with torch.device("meta"), Undrawn():
            if hasattr(loader, "from_config"):
                network = loader.from_config(config)
            else:  # a class for text alone, which reads its own part of the config
                own = loader.config_class.from_pretrained(str(folder), local_files_only=True)
                network = loader(own)
        wanted = sum(parameter.numel() for parameter in network.parameters())
    except Exception as error:
        if "overflow" not in str(error):
            return  # transformers says below what is wrong
        wanted = sys.maxsize
    require_size(folder, wanted, tensors_in(checkpoint.weight_files(folder)))


def _loader(folder: Path) -> tuple[Any, Any]:
    """The class of transformers that loads a checkpoint as a causal model, and the config."""
    try:
        config = AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except AtlasError:
        raise
    except Exception as error:  # as above
        raise _not_loaded(folder, checkpoint.read_config(folder), error) from error
    is_causal = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING
    own: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)] if is_causal else None
    has_encoder = getattr(config, "is_encoder_decoder", False)
    if is_causal and not (has_encoder and own.__name__ not in (config.architectures or ())):
        return AutoModelForCausalLM, config
    if type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING and not has_encoder:
        return AutoModelForImageTextToText, config
    for name in () if has_encoder else config.architectures or ():
        if name.endswith("ForCausalLM") and hasattr(transformers, name):
            # the part for text of a multimodal model, saved
            return getattr(transformers, name), config
    what = "an encoder-decoder" if has_encoder else "no causal language model"
    raise ModelError(
        f"the model is {what}",
        where=str(folder),
        expected="a decoder-only language model, or a multimodal one around such a model",
        found=f"model_type {config.model_type!r}",
        remedy="choose another model",
    )


def _not_loaded(folder: Path, config: Mapping[str, Any], error: Exception) -> ModelError:
    quantised = config.get("quantization_config")
    if isinstance(quantised, dict):
        return ModelError(
            "the quantised model cannot be loaded",
            where=str(folder),
            expected="the packages that its quantisation needs, and a device that they support",
            found=f"quant_method {quantised.get('quant_method')!r}: {shortened(str(error))}",
            remedy="choose the model's weights in float32, float16 or bfloat16, or install what is "
            "missing",
        )
    return ModelError(
        "the model cannot be loaded",
        where=str(folder),
        expected="a causal language model that transformers knows, without code of its own",
        found=f"model_type {config['model_type']!r}: {shortened(str(error))}",
        remedy="choose a model that transformers loads without remote code, or fetch it again",
    )


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
