"""Finds the MLP modules of a causal language model by name, and the width of their readouts."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict

import torch
from torch import Tensor, nn

from atlas_assets.errors import ModelError, expect
from atlas_assets.models.checkpoint_files import listed

#: what a list of blocks is called, and what the MLP of one block is
BLOCK_LISTS = ("h", "layers", "layer", "blocks", "block")
MLP_NAMES = ("mlp", "feed_forward", "feedforward", "ffn", "ff", "moe", "block_sparse_moe")

_MLP = re.compile(
    rf"^(?P<blocks>(?:.+\.)?(?:{'|'.join(BLOCK_LISTS)}))\.(?P<layer>\d+)"
    rf"\.(?P<name>{'|'.join(MLP_NAMES)})$"
)
_LOOKED_FOR = (
    f"one family of modules named <blocks>.<layer>.<mlp> with <blocks> ending in "
    f"{', '.join(BLOCK_LISTS)} and <mlp> one of {', '.join(MLP_NAMES)}"
)
_REMEDY = "use a decoder-only model whose blocks hold such a module"


def find_mlps(network: nn.Module) -> tuple[nn.Module, ...]:
    """Return the MLP modules of all layers, in order.

    Raises:
        ModelError: no module has such a name, several families do, or a layer lacks one; or the
            module adds the residual stream itself, so that its output is no readout.
    """
    families: dict[str, dict[int, nn.Module]] = defaultdict(dict)
    for name, module in network.named_modules():
        match = _MLP.match(name)
        if match:
            family = f"{match['blocks']}.*.{match['name']}"
            families[family][int(match["layer"])] = module
    found = ", ".join(sorted(families)) or f"no such module; the blocks hold {_held(network)}"
    expect(
        len(families) == 1,
        ModelError,
        "cannot tell which modules are the model's MLPs",
        where=type(network).__name__,
        expected=_LOOKED_FOR,
        found=found,
        remedy=_REMEDY,
    )
    ((family, by_layer),) = families.items()
    expect(
        sorted(by_layer) == list(range(len(by_layer))),
        ModelError,
        "not every layer has an MLP",
        where=family,
        expected=f"layers 0 to {max(by_layer)}",
        found=f"layers {', '.join(map(str, sorted(by_layer)))}",
        remedy=_REMEDY,
    )
    mlps = tuple(by_layer[layer] for layer in range(len(by_layer)))
    expect(
        "residual" not in inspect.signature(mlps[0].forward).parameters,
        ModelError,
        "the model's MLP modules add the residual stream themselves",
        where=family,
        expected="a module whose output is taken before the residual add",
        found=f"{type(mlps[0]).__name__}.forward takes the residual",
        remedy=_REMEDY,
    )
    return mlps


def readout_width(base: nn.Module, mlps: tuple[nn.Module, ...]) -> int:
    """Return the neurons per readout, found by running two tokens.

    Raises ModelError where an MLP does not give one tensor ``[batch, tokens, width]`` exactly once,
    or where the layers differ in width.
    """
    outputs: dict[int, list[object]] = defaultdict(list)
    hooks = [
        mlp.register_forward_hook(lambda _m, _i, output, layer=layer: outputs[layer].append(output))
        for layer, mlp in enumerate(mlps)
    ]
    try:
        with torch.inference_mode():
            device = next(base.parameters()).device
            base(input_ids=torch.zeros(1, 2, dtype=torch.int64, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    widths = [_width(layer, outputs[layer]) for layer in range(len(mlps))]
    expect(
        len(set(widths)) == 1,
        ModelError,
        "the layers' readouts differ in width",
        expected="one width",
        found=str(widths),
        remedy=_REMEDY,
    )
    return widths[0]


def _width(layer: int, outputs: list[object]) -> int:
    expected = "a tensor [batch, tokens, width]"
    if len(outputs) != 1:
        expected, found = "one call per pass", f"{len(outputs)} calls"
    elif not isinstance(outputs[0], Tensor):
        found = type(outputs[0]).__name__
    elif outputs[0].ndim == 3 and outputs[0].shape[:2] == (1, 2):
        return int(outputs[0].shape[2])
    else:
        found = f"shape {list(outputs[0].shape)}"
    raise ModelError(
        f"the MLP of layer {layer} cannot be read",
        expected=expected,
        found=found,
        remedy=_REMEDY,
    )


def _held(network: nn.Module) -> str:
    """Names of the children of the first block of each list of blocks."""
    names = sorted(
        f"{name}.{child}"
        for name, module in network.named_modules()
        if name.rsplit(".", 1)[-1] == "0"
        for child, _ in module.named_children()
    )
    return listed(names, shown=8) or "nothing"
