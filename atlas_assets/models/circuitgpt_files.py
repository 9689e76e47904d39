"""Reads a circuitgpt's folder into modules of torch alone, where its files fit exactly.

transformers would read it to the same network (`models.circuitgpt`), after 3.5 s of processor time
for importing what other families need.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from atlas_assets.errors import AtlasError
from atlas_assets.models.checkpoint_files import weight_files
from atlas_assets.models.circuitgpt_config import CircuitGPTConfig
from atlas_assets.models.circuitgpt_network import PREFIX, CircuitGPT

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_DRAWING = (nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_)
_HEAD, _EMBEDDING = "lm_head.weight", "transformer.wte.weight"


def read_plain(folder: Path, dtype: torch.dtype) -> CircuitGPT | None:
    """Return the network of a circuitgpt's folder, on the CPU, in a precision.

    Args:
        folder: the checkpoint, whose ``config.json`` says ``circuitgpt``.
        dtype: precision of the weights.

    Returns:
        The network; ``None`` where a file cannot be read or does not fit to the last tensor:
        transformers tries it then, and what is wrong is told as for every other family.

    Raises:
        ModelError: an option of the config is not supported, or weights are missing.
    """
    try:
        # as transformers' own classes read it
        config = CircuitGPTConfig.from_pretrained(str(folder), local_files_only=True)
        found = _tensors(folder)
    except AtlasError:
        raise
    except Exception:  # transformers meets the same
        return None
    try:
        with torch.device("meta"), Undrawn():  # the tensors of the files take the place of these
            network = CircuitGPT(config)
    except RuntimeError:  # there are no tensors of such sizes
        return None
    blocks = network.circuit_model
    if config.tied_unembed:
        head = found.pop(_HEAD, None)
        embedding = found.get(_EMBEDDING)
        if head is not None and not (embedding is not None and torch.equal(head, embedding)):
            return None
        del blocks.lm_head.weight
    wanted = dict(blocks.named_parameters())
    if wanted.keys() != found.keys():
        return None
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape or tensor.dtype not in _FLOATS:
            return None
    blocks.load_state_dict({name: t.to(dtype) for name, t in found.items()}, assign=True)
    if config.tied_unembed:
        blocks.lm_head.weight = blocks.transformer.wte.weight
    return network


class Undrawn(TorchFunctionMode):
    """Within, new modules draw no numbers to begin with.

    On the device meta that would change nothing, but import torch's compiler, for 2 s.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        return given["tensor"] if func in _DRAWING else func(*args, **given)


def _tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors of all files by the names in the blocks, which may follow a prefix."""
    found: dict[str, Tensor] = {}
    for file in weight_files(folder):
        for name, tensor in load_file(file).items():
            if found.setdefault(name.removeprefix(f"{PREFIX}."), tensor) is not tensor:
                raise ValueError(f"there are two tensors {name}")
    return found
