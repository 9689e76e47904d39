"""Checks, by running a few tokens, that what was found is the whole MLP of a block, and only that.

Names say which modules are a block's MLP; they do not say whether a module adds the residual stream
to its output, nor whether several of them are added up. Both are seen when their weights are zero.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from atlas_assets.errors import AtlasError, ModelError
from atlas_assets.models.mlps import Names

#: largest difference, as a share of the largest value, that counts as none
_TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-5}
_COARSE = 3e-2
_REMEDY = "name the modules whose outputs are to be added up in ATLAS_MLP, separated by commas"


@dataclass
class _Call:
    """What a module was given, and what it gave."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    output: Tensor | None = None


def first_tensor(output: object) -> Tensor | None:
    """Return what a module gives: its output, or the first of a tuple or list that is a tensor."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, tuple | list):
        return next((each for each in output if isinstance(each, Tensor)), None)
    return None


def some_ids(network: Any, rows: int, tokens: int) -> Tensor:
    """Return int64 ``[rows, tokens]``: rows of ids that differ in the last token alone."""
    own = getattr(network, "get_input_embeddings", None)
    embedding = own() if own is not None else None
    n_ids = embedding.num_embeddings if isinstance(embedding, nn.Embedding) else 64
    ids = torch.arange(9, 9 + tokens).repeat(rows, 1)
    ids[:, -1] += torch.arange(rows)
    return (ids % n_ids).to(next(network.parameters()).device)


def run(network: nn.Module, ids: Tensor) -> Any:
    """Run a network, or its base, on token ids, without a cache."""
    cached = "use_cache" in inspect.signature(network.forward).parameters
    return network(input_ids=ids, **({"use_cache": False} if cached else {}))


@torch.inference_mode()
def require_causal(network: Any) -> None:
    """Refuse a network whose logits at a position depend on later tokens, with a ModelError.

    So is one without weights, or whose logits are no numbers: nothing could be told of it.
    """
    if any(parameter.is_meta for parameter in network.parameters()):
        raise ModelError(
            "the model has no weights",
            where=type(network).__name__,
            expected="weights in the memory of this machine or of its accelerator",
            found="parameters on torch's device meta, which have a shape alone",
            remedy="load the weights (from_pretrained, without a device map that leaves some out)",
        )
    logits = run(network, some_ids(network, 2, 6)).logits
    if logits.isnan().any():
        raise ModelError(
            "the model gives logits that are no numbers",
            where=type(network).__name__,
            expected="numbers for any tokens",
            found="nan",
            remedy="look for weights that are nan or infinite, and load the checkpoint again; in "
            "half precision values may overflow: try ATLAS_DTYPE=float32",
        )
    if differ(logits[0, :-1], logits[1, :-1]):
        raise ModelError(
            "the model is not a causal language model",
            where=type(network).__name__,
            expected="logits that depend on the tokens before them alone",
            found="logits that change with a later token, as in an encoder",
            remedy="choose a decoder-only model (of a BERT, one trained with is_decoder: true)",
        )


@torch.inference_mode()
def checked(network: Any, base: nn.Module, names: Names) -> Names:
    """Return the names of modules whose outputs add up to the MLP of each block, and no more.

    Where a module adds the residual stream itself, the name is that of the module inside it whose
    output is what it adds. One block of each kind is checked.

    Raises:
        ModelError: no module inside gives what a module adds, or several modules of a block are not
            simply added up.
    """
    kinds: dict[tuple[type, ...], tuple[str, ...]] = {}
    blocks = [block_of(parts[0]) for parts in names]
    found = []
    for block, parts in zip(blocks, names, strict=True):
        modules = [network.get_submodule(part) for part in parts]
        kind = (*map(type, modules), *(type(m) for m in network.get_submodule(block).children()))
        if kind not in kinds:
            kinds[kind] = _checked_block(network, base, block, parts)
        found.append(tuple(f"{block}.{part}" for part in kinds[kind]))
    return tuple(found)


def block_of(part: str) -> str:
    """Return the name of the block of a module: up to the first number."""
    pieces = part.split(".")
    return ".".join(pieces[: next(n for n, piece in enumerate(pieces) if piece.isdecimal()) + 1])


def _checked_block(
    network: Any, base: nn.Module, name: str, parts: Sequence[str]
) -> tuple[str, ...]:
    block = network.get_submodule(name)
    modules = {part: network.get_submodule(part) for part in parts}
    with _watched([block, *(m for part in modules.values() for m in part.modules())]) as calls:
        run(base, some_ids(network, 1, 4))
    try:
        added = {part: _adds(module, calls) for part, module in modules.items()}
        if len(parts) > 1:
            _require_added_up(block, modules, calls)
    except AtlasError:
        raise
    except Exception as error:  # a module may fail in its own ways when it is called alone
        raise _untold(name, parts, f"an MLP that cannot be run alone: {error!s:.120}") from error
    inner = {part: _name_of(module, modules[part]) for part, module in added.items()}
    lacking = [part for part, within in inner.items() if within is None]
    if lacking:
        found = "a module that adds the residual stream itself, and none inside gives what it adds"
        raise _untold(name, lacking, found)
    return tuple(f"{part}.{inner[part]}".removeprefix(f"{name}.").rstrip(".") for part in parts)


def _adds(module: nn.Module, calls: dict[nn.Module, _Call]) -> nn.Module | None:
    """The module inside (itself perhaps) whose output is what a module adds to its input."""
    call = calls[module]
    if call.output is None:
        return module  # what is never called is refused where readouts are looked at
    silent = _without_weights(module, [module], call)
    rows = silent.flatten(0, -2)
    if not differ(rows, rows[:1].expand_as(rows)):
        return module
    added = call.output - silent
    for inner in module.modules():
        given = calls[inner].output
        same_size = given is not None and given.numel() == added.numel()
        if given is not None and same_size and not differ(given.reshape(added.shape), added):
            return inner
    return None


def _require_added_up(
    block: nn.Module, modules: dict[str, nn.Module], calls: dict[nn.Module, _Call]
) -> None:
    """Refuse parts whose sum, times a number, is not what they change in the block's output."""
    call = calls[block]
    outputs = [call.output for call in map(calls.__getitem__, modules.values())]
    given = [output for output in outputs if output is not None]
    if call.output is None or len(given) < len(outputs):
        return  # what is never called is refused where readouts are looked at
    changed = call.output - _without_weights(block, list(modules.values()), call)
    total = torch.stack([output.reshape(changed.shape) for output in given]).sum(dim=0)
    scale = (changed * total).sum() / (total * total).sum()
    if differ(changed, scale * total):
        found = "parts whose sum is not what the block adds to the residual stream"
        raise _untold(type(block).__name__, list(modules), found)


def _without_weights(called: nn.Module, silenced: Sequence[nn.Module], call: _Call) -> Tensor:
    """Call a module again with the parameters of some modules inside it set to zero."""
    own = {id(parameter) for module in silenced for parameter in module.parameters()}
    zeros = {n: torch.zeros_like(p) for n, p in called.named_parameters() if id(p) in own}
    output = first_tensor(functional_call(called, zeros, call.args, call.kwargs))
    if output is None:
        raise TypeError("it gives no tensor")
    return output


def differ(found: Tensor, expected: Tensor) -> bool:
    """Tell whether two tensors differ by more than rounding does in their precision."""
    tolerance = _TOLERANCES.get(found.dtype, _COARSE)
    size = max(float(found.abs().max()), float(expected.abs().max()))
    return not float((found - expected).abs().max()) <= tolerance * size


def _name_of(wanted: nn.Module | None, within: nn.Module) -> str | None:
    return next((name for name, module in within.named_modules() if module is wanted), None)


def _untold(where: str, parts: Sequence[str], found: str) -> ModelError:
    return ModelError(
        "cannot tell what the block's MLP adds",
        where=where,
        expected="modules whose outputs add up to what the MLP adds to the residual stream",
        found=f"{', '.join(parts)}: {found}",
        remedy=_REMEDY,
    )


@contextmanager
def _watched(modules: Sequence[nn.Module]) -> Iterator[dict[nn.Module, _Call]]:
    """Note the last call of each module while the block runs."""
    calls = {module: _Call() for module in modules}

    def note(module: nn.Module, args: Any, kwargs: Any, output: object) -> None:
        given = first_tensor(output)
        # some blocks add to what a module gives in place (Falcon)
        calls[module] = _Call(args, kwargs, None if given is None else given.clone())

    handles = [module.register_forward_hook(note, with_kwargs=True) for module in calls]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
