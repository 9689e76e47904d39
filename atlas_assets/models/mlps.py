"""Finds, by name, the modules that make up the MLP of each block of a causal language model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from atlas_assets.errors import ModelError, SettingsError, expect
from atlas_assets.models.checkpoint_files import listed

#: what a block calls its MLP or a part of it; numbered ones (``mlp_1``) and lists of them as well
MLP_NAMES = (
    "mlp",
    "mlps",
    "feed_forward",
    "feedforward",
    "ffn",
    "ff",
    "moe",
    "mlp_block",
    "block_sparse_moe",
    "dense_mlp",
    "shared_mlp",
    "shared_expert",
    "shared_experts",
    "experts",
)
#: where a block has no such module: the layers whose output is that of its MLP, by what it holds
LAST_LAYERS: Mapping[frozenset[str], str] = {
    frozenset({"fc1", "fc2"}): "fc2",
    frozenset({"intermediate", "output"}): "output.dense",
}
_MLP = re.compile(rf"(?:{'|'.join(MLP_NAMES)})(?:_?\d+)?")
#: what else a block holds that is no part of its MLP: token mixers, norms, hyper-connections
_NO_MLP = re.compile(
    r"(?:.*_)?(?:self_?)?att(?:n|ention)?(?:_.*)?|.*(?:mixer|mamba|conv|lstm|norm|temporal).*|ln_?\w*"
    r"|altup|laurel|per_layer_\w*|.*(?:_hc|_scale|router|embed\w*|gate|dropout)",
    re.IGNORECASE,
)
#: parts of a multimodal network that read no text
_NO_TEXT = re.compile(r"vision|visual|image|img|audio|speech", re.IGNORECASE)
_REMEDY = "name the module in ATLAS_MLP, with * for the layer, as model.layers.*.mlp"
#: per layer in order, the names of the modules whose outputs are added up
Names = tuple[tuple[str, ...], ...]


def find_mlps(network: nn.Module, patterns: tuple[str, ...] = ()) -> Names:
    """Return, per layer, the names of the modules that make up the block's MLP.

    Args:
        network: a causal language model; of a multimodal one, the part for text is searched.
        patterns: names of modules with ``*`` for the number of the layer, all of which are taken;
            if empty, the modules that are called as MLPs are.

    Raises:
        SettingsError: the patterns fit no module, or not one in each layer.
        ModelError: no block holds such a module, or not every block; several lists of blocks do;
            or a block holds something else that may belong to its MLP.
    """
    lists = _block_lists(network)
    if patterns:
        return _chosen(network, lists, patterns)
    found = {name: [_parts(block) for block in blocks] for name, blocks in lists.items()}
    found = {name: parts for name, parts in found.items() if any(parts)}
    if len(found) > 1:
        of_text = _text_part(network)
        found = {name: parts for name, parts in found.items() if name.startswith(of_text)}
    candidates = listed([f"{name}.*.{parts[-1]}" for name, (*_, parts) in _last(found)])
    expect(
        len(found) == 1,
        ModelError,
        "cannot tell which modules are the model's MLPs",
        where=type(network).__name__,
        expected="one list of blocks that each hold a module called mlp, feed_forward or the like",
        found=candidates or f"no such module; the blocks hold {_held(lists)}",
        remedy=_REMEDY,
    )
    ((name, parts),) = found.items()
    without = [layer for layer, of_block in enumerate(parts) if not of_block]
    expect(
        not without,
        ModelError,
        "not every block has an MLP",
        where=f"{type(network).__name__}: {name}",
        expected=f"an MLP in each of the blocks 0 to {len(parts) - 1}",
        found=f"none in {listed(list(map(str, without)))}",
        remedy="choose a model whose blocks all have one",
    )
    for layer, (block, of_block) in enumerate(zip(lists[name], parts, strict=True)):
        others = _others(block, of_block)
        expect(
            not others,
            ModelError,
            "cannot tell whether the block's MLP has further parts",
            where=f"{type(network).__name__}: {name}.{layer}",
            expected="token mixers, norms and the MLP, under the usual names",
            found=f"{listed(others)} besides {', '.join(of_block)}",
            remedy=f"{_REMEDY}; several names, separated by commas, are added up",
        )
    return tuple(
        tuple(f"{name}.{layer}.{part}" for part in of_block) for layer, of_block in enumerate(parts)
    )


def _last(
    found: Mapping[str, list[tuple[str, ...]]],
) -> list[tuple[str, list[tuple[str, ...]]]]:
    return [(name, [parts for parts in of_list if parts]) for name, of_list in found.items()]


def _block_lists(network: nn.Module) -> dict[str, nn.ModuleList]:
    """The outermost lists of modules, by name."""
    lists: dict[str, nn.ModuleList] = {}
    for name, module in network.named_modules():
        within = any(name.startswith(f"{outer}.") for outer in lists) or _NO_TEXT.search(name)
        if isinstance(module, nn.ModuleList) and len(module) and not within:
            lists[name] = module
    return lists


def _text_part(network: nn.Module) -> str:
    """The name of the decoder of a multimodal network, as transformers tells it."""
    told: Any = getattr(network, "get_decoder", None)
    decoder = told() if told is not None else network
    return next((name for name, module in network.named_modules() if module is decoder), "")


def _parts(block: nn.Module) -> tuple[str, ...]:
    """The names, within a block, of the modules of its MLP."""
    children = dict(block.named_children())
    parts: list[str] = []
    for name, child in children.items():
        if _MLP.fullmatch(name) and next(child.parameters(), None) is not None:
            numbers = range(len(child)) if isinstance(child, nn.ModuleList) else ()
            parts += [f"{name}.{number}" for number in numbers] or [name]
    for held, last in LAST_LAYERS.items():
        if not parts and held <= children.keys() and _reaches(block, last):
            parts = [last]
    return tuple(parts)


def _others(block: nn.Module, parts: tuple[str, ...]) -> list[str]:
    """Names of the children of a block that may belong to its MLP, and are not among its parts."""
    if any(part in LAST_LAYERS.values() for part in parts):
        known = {name for held in LAST_LAYERS for name in held}
    else:
        known = {part.partition(".")[0] for part in parts}
    return [
        name
        for name, child in block.named_children()
        if name not in known and not _NO_MLP.fullmatch(name) and _has_matrices(child)
    ]


def _has_matrices(module: nn.Module) -> bool:
    return any(parameter.ndim > 1 for parameter in module.parameters())


def _reaches(block: nn.Module, path: str) -> bool:
    return any(name == path for name, _ in block.named_modules())


def _chosen(
    network: nn.Module, lists: Mapping[str, nn.ModuleList], patterns: tuple[str, ...]
) -> Names:
    """The modules that patterns name: in full, or as they are called within a block."""
    accepted = re.compile("|".join(re.escape(p).replace(r"\*", r"[^.]+") for p in patterns))
    for list_name, blocks in lists.items():
        names = [
            tuple(
                f"{list_name}.{layer}.{name}"
                for name, _ in block.named_modules()
                if name
                and (accepted.fullmatch(name) or accepted.fullmatch(f"{list_name}.{layer}.{name}"))
            )
            for layer, block in enumerate(blocks)
        ]
        if all(names):
            return tuple(names)
    raise SettingsError(
        "ATLAS_MLP does not name a module in each layer of the model",
        where=type(network).__name__,
        expected="the name of a module, with * for the number of the layer, as model.layers.*.mlp",
        found=f"{', '.join(patterns)}; the blocks hold {_held(lists)}",
        remedy="correct ATLAS_MLP, or unset it",
    )


def _held(lists: Mapping[str, nn.ModuleList]) -> str:
    """Names of the children of the first block of each list."""
    names = [
        f"{name}.0.{c}" for name, blocks in lists.items() for c, _ in blocks[0].named_children()
    ]
    return listed(names, shown=8) or "nothing"
