"""The sites of a block that can be read, and the module of each layer that shows one.

===================  ==============================================================================
`mlp_out`            what the block's MLP gives (the published one)
`mlp_contribution`   that as it is added to the residual stream: after a norm or a factor, if any
`mlp_neurons`        what goes into the MLP's down projection
`attn_out`           what the block's attention gives
`resid_post`         the residual stream after the block
===================  ==============================================================================

Where a site is, is found by running a few tokens, and refused where it cannot be told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from atlas_assets.errors import ModelError, expect
from atlas_assets.models.checkpoint_files import listed
from atlas_assets.models.circuitgpt_layers import MLP
from atlas_assets.models.circuitgpt_network import CircuitGPTNetwork
from atlas_assets.models.mlp_checks import block_of, checked, first_tensor, run, some_ids
from atlas_assets.models.mlps import Names
from atlas_assets.models.readout_points import ROWS, TOKENS, ReadoutPoint, readout_points, width_of

Site = Literal["mlp_out", "mlp_contribution", "mlp_neurons", "attn_out", "resid_post"]

_ATTENTION = re.compile(r"(?:self_?|temporal_)?att(?:n|ention)", re.IGNORECASE)
#: in the config, what some networks multiply with all that a block adds to the stream
_MULTIPLIER = "residual_multiplier"
#: how far a sum of contributions may be from the change of the stream, as a share of the MLP's
_TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-3}
_COARSE = 0.5
_REMEDY = "choose another ATLAS_SITE"
_OF_ATTENTION = ("mlp_contribution", "attn_out")


def points_at(
    network: Any, base: nn.Module, names: Names, site: Site
) -> tuple[tuple[nn.Module, ...], int]:
    """Return the module of each layer whose output is the readout at a site, and the width.

    Args:
        network: the whole model, in eval mode.
        base: the part of it that runs the blocks.
        names: per layer, the names of the modules that make up the block's MLP.
        site: what is read in each block.

    Raises:
        ModelError: the network has no such site, or it cannot be told where it is.
    """
    if site == "mlp_out":
        return readout_points(network, base, names)
    if isinstance(network, CircuitGPTNetwork):
        return _in_circuitgpt(network, site)
    with torch.inference_mode(), _watched(network) as calls:
        run(base, some_ids(network, ROWS, TOKENS))
    blocks = [_Block.of(network, parts, calls) for parts in names]
    if site in _OF_ATTENTION:
        found = _attentions(network, base, blocks)
        blocks = [replace(b, attention=a) for b, a in zip(blocks, found, strict=True)]
    shown = [_SITES[site](block) for block in blocks]
    widths = {
        width_of(f"{block.name} at {site}", each.seen(calls), _REMEDY)
        for block, each in zip(blocks, shown, strict=True)
    }
    expect(
        len(widths) == 1,
        ModelError,
        f"the layers differ in width at {site}",
        where=type(network).__name__,
        expected="one width",
        found=", ".join(map(str, sorted(widths))),
        remedy=_REMEDY,
    )
    return tuple(each.point(network, base, calls) for each in shown), widths.pop()


def release(network: nn.Module, points: Sequence[nn.Module]) -> None:
    """Leave a network as it was before `points_at`."""
    for point in points:
        if isinstance(point, ReadoutPoint):
            point.remove()
    for module in network.modules():
        if isinstance(module, MLP):
            module.in_pieces = True


def _in_circuitgpt(network: CircuitGPTNetwork, site: Site) -> tuple[tuple[nn.Module, ...], int]:
    """The modules of circuitgpt, which are called on the tree too."""
    blocks: list[Any] = list(network.circuit_model.transformer.h)
    width: int = network.config.d_model
    if site == "mlp_neurons":
        width = network.config.d_mlp
        for block in blocks:
            block.mlp.in_pieces = False  # or the module would be called for some tokens at a time
    shown: Mapping[Site, Callable[[Any], nn.Module]] = {
        "mlp_contribution": lambda block: block.mlp,
        "mlp_neurons": lambda block: block.mlp.sparse_neuron,
        "attn_out": lambda block: block.attn.sparse_out,
        "resid_post": lambda block: block.sparse_post_mlp,
    }
    return tuple(map(shown[site], blocks)), width


@dataclass(frozen=True, eq=False)
class _Call:
    """A call of a module: the tensors that it was given and gave, copies of both, and its turn.

    Attributes:
        plain: whether it gave a tensor, and not a tuple that holds one.
    """

    given: Tensor | None
    output: Tensor
    given_value: Tensor | None
    value: Tensor
    turn: int
    plain: bool


_Calls = Mapping[nn.Module, list[_Call]]


@dataclass(frozen=True, eq=False)
class _Shown:
    """Where a site shows in a block; the arguments of a `ReadoutPoint`."""

    parts: tuple[nn.Module, ...]
    of_input: bool = False
    factor: float = 1.0

    def seen(self, calls: _Calls) -> list[object]:
        """What the (first) part was seen to give, or to be given, in every call."""
        return [c.given_value if self.of_input else c.value for c in calls.get(self.parts[0], [])]

    def point(self, network: nn.Module, base: nn.Module, calls: _Calls) -> nn.Module:
        (part, *others), whole = self.parts, (ROWS, TOKENS)
        plain = not (others or self.of_input) and self.factor == 1
        if plain and calls[part][0].plain and calls[part][0].value.shape[:-1] == whole:
            return part
        options: dict[str, Any] = {"of_input": self.of_input, "factor": self.factor}
        return ReadoutPoint((network, base), self.parts, **options)


@dataclass(frozen=True, eq=False)
class _Block:
    """One block, the modules of its MLP, and what was seen of all modules of the network."""

    network: Any
    name: str
    module: nn.Module
    mlps: tuple[nn.Module, ...]
    calls: _Calls
    attention: nn.Module = field(default_factory=nn.Identity)

    @classmethod
    def of(cls, network: Any, parts: Sequence[str], calls: _Calls) -> _Block:
        name = block_of(parts[0])
        mlps = tuple(map(network.get_submodule, parts))
        return cls(network, name, network.get_submodule(name), mlps, calls)

    def once(self, module: nn.Module) -> _Call:
        """The only call of a module."""
        calls = self.calls.get(module, [])
        if len(calls) != 1:
            raise self.untold("a module that is called once", f"{len(calls)} calls")
        return calls[0]

    def passed_on(self, module: nn.Module) -> nn.Module:
        """Follow the output of a module through children of the block; return the last of them."""
        children = [child for child in self.module.children() if self.calls.get(child)]
        seen = {module}
        while True:
            output = self.once(module).output
            after = [c for c in children if c not in seen and self.calls[c][0].given is output]
            if not after:
                return module
            module = after[0]
            seen.add(module)

    def untold(self, expected: str, found: str) -> ModelError:
        return ModelError(
            "cannot tell where this site is in the model's blocks",
            where=f"{type(self.network).__name__}: {self.name}",
            expected=expected,
            found=found,
            remedy=_REMEDY,
        )


def _attentions(network: Any, base: nn.Module, blocks: Sequence[_Block]) -> list[nn.Module]:
    """The module of each block that gives what its attention adds to the stream."""
    names = []
    for block in blocks:
        children = dict(block.module.named_children())
        called = [n for n, m in children.items() if _ATTENTION.fullmatch(n) and block.calls.get(m)]
        if len(called) != 1:
            held = listed(list(children), shown=8)
            raise block.untold("one attention module in each block", f"the block holds {held}")
        names.append((f"{block.name}.{called[0]}",))
    try:  # some add the stream themselves
        return [network.get_submodule(name) for (name,) in checked(network, base, tuple(names))]
    except ModelError as error:
        expected = "an attention module, or one in it, that gives what is added to the stream"
        raise blocks[0].untold(expected, names[0][0]) from error


def _contribution(of: _Block) -> _Shown:
    """What the MLP adds: what becomes of its output, such that the block's sum comes out right."""
    attention, *mlps = (of.passed_on(module) for module in (of.attention, *of.mlps))
    whole = of.once(of.module)
    sizes = {of.once(module).value.numel() for module in (attention, *mlps)}
    given = whole.given_value
    if given is None or given.shape != whole.value.shape or sizes != {given.numel()}:
        raise of.untold("a block that is given one residual stream", "something else")
    change = whole.value.double() - given.double()
    outputs = [of.once(m).value.double().reshape(change.shape) for m in (attention, *mlps)]
    of_mlp = torch.stack(outputs[1:]).sum(dim=0)
    tolerance = _TOLERANCES.get(whole.value.dtype, _COARSE)
    multiplier = getattr(of.network.config.get_text_config(), _MULTIPLIER, None)
    for factor in (1.0, float(multiplier or 1.0)):
        apart = torch.linalg.vector_norm(change - factor * (outputs[0] + of_mlp))
        if apart <= tolerance * factor * torch.linalg.vector_norm(of_mlp):
            return _Shown(tuple(mlps), factor=factor)
    found = "something other than attention and MLP, after the block's own norms and factor"
    raise of.untold("a block that adds attention and MLP to the stream", found)


def _neurons(of: _Block) -> _Shown:
    """The input of the last matrix in the MLP, whose output must be that of the MLP."""
    if len(of.mlps) == 1:
        (mlp,) = of.mlps
        leaves = [m for m in mlp.modules() if _is_matrix(m) and of.calls.get(m)]
        last = max(leaves, key=lambda leaf: of.calls[leaf][-1].turn, default=None)
        if last is not None and len(of.calls[last]) == 1:
            found, wanted = of.once(last).value, of.once(mlp).value
            if found.numel() == wanted.numel() and torch.equal(found.view_as(wanted), wanted):
                return _Shown((last,), of_input=True)
    held = listed([name for mlp in of.mlps for name, _ in mlp.named_children()])
    raise of.untold("an MLP whose last matrix, called once, gives its output", held or "no matrix")


def _is_matrix(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.ndim == 2


_SITES: Mapping[Site, Callable[[_Block], _Shown]] = {
    "mlp_contribution": _contribution,
    "mlp_neurons": _neurons,
    "attn_out": lambda of: _Shown((of.attention,)),
    "resid_post": lambda of: _Shown((of.module,)),
}


@contextmanager
def _watched(network: nn.Module) -> Iterator[dict[nn.Module, list[_Call]]]:
    """Note every call of the network's modules, in the order in which they end."""
    calls: dict[nn.Module, list[_Call]] = {}

    def note(module: nn.Module, args: Any, kwargs: Any, output: object) -> None:
        # records that hold several tensors by name say nothing of which is the stream (Reformer)
        made = first_tensor(output) if type(output) in (tuple, list, Tensor) else None
        if made is not None:
            given = first_tensor(args)
            given = kwargs.get("hidden_states") if given is None else given
            turn = sum(map(len, calls.values()))
            copies = None if given is None else given.clone(), made.clone()
            calls.setdefault(module, []).append(_Call(given, made, *copies, turn, made is output))

    handles = [m.register_forward_hook(note, with_kwargs=True) for m in network.modules()]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
