"""Whether a config asks for what the weights hold, told by the headers of their files alone.

A config's numbers decide how much memory a network takes before its tensors are read, so they are
compared with the tensors' names, types and shapes before anything is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from atlas_assets.errors import ModelError, shortened

#: what configs call the number of layers
_LAYERS = ("n_layer", "n_layers", "num_layers", "num_hidden_layers")
#: how many times as many numbers as the weights a network may have: matrices that are used twice
#: may be stored once
_MOST = 2


class Tensor(NamedTuple):
    """What a header says of a tensor: its type, as ``F32`` or ``I64``, and its shape."""

    dtype: str
    shape: tuple[int, ...]


def tensors_in(files: Sequence[Path]) -> dict[str, Tensor]:
    """Return name → type and shape of all tensors of safetensors files, by their headers.

    Raises ModelError where a header is damaged.
    """
    found = {}
    for path in files:
        try:
            with safe_open(path, framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118 - it is no mapping
                    said = file.get_slice(name)
                    found[name] = Tensor(said.get_dtype(), tuple(said.get_shape()))
        except SafetensorError as error:
            raise ModelError(
                "the model's weights are damaged",
                where=str(path),
                expected="a safetensors file",
                found=shortened(str(error)),
                remedy="download or copy the file again, from where it is whole",
            ) from error
    return found


def require_fitting(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights of whole numbers, and a config of more layers than there are tensors.

    Quantised weights (``quantization_config``) may be of any type.

    Args:
        folder: the checkpoint.
        config: its ``config.json``.
        tensors: what the headers of its weights say.

    Raises:
        ModelError: names the tensor, or the key of the config.
    """
    for name, tensor in sorted(tensors.items()):
        # masks and positions are of whole numbers in some files, and no weights
        is_weight = name.endswith("weight") or config["model_type"] == "circuitgpt"
        is_real = tensor.dtype.startswith(("F", "BF"))
        if is_weight and not is_real and not isinstance(config.get("quantization_config"), dict):
            raise ModelError(
                "the model's weights are no real numbers",
                where=f"{folder}: {name}",
                expected="a floating-point type, as F32, F16 or BF16",
                found=tensor.dtype,
                remedy="convert the tensor, or fetch the checkpoint again",
            )
    text = config.get("text_config")
    for told in (config, text if isinstance(text, dict) else {}):
        for key in _LAYERS:
            number = told.get(key)
            if isinstance(number, int) and number > len(tensors):
                expected = f"at most {len(tensors):,} layers, as many as there are tensors"
                raise _too_large(f"{folder / 'config.json'}: {key}", expected, f"{number:,}")


def require_size(folder: Path, wanted: int, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a config whose network has ``wanted`` numbers, far more than the weights (ModelError).

    Tensors that are missing would be allocated before it shows that they are.
    """
    there = sum(prod(tensor.shape) for tensor in tensors.values())
    if wanted > _MOST * there:
        expected = f"a network of {there:,} numbers, as the weights hold"
        raise _too_large(str(folder / "config.json"), expected, f"one of {wanted:,}")


def _too_large(where: str, expected: str, found: str) -> ModelError:
    return ModelError(
        "the checkpoint does not fit its config.json: that asks for a larger network",
        where=where,
        expected=expected,
        found=found,
        remedy="check config.json against the weights, or fetch the checkpoint again",
    )
