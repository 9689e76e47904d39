"""One module per layer whose output is the readout ``[batch, tokens, width]``.

Where what is read (`models.sites`) is what one module gives, as such a tensor, it is that module.
Where a module gives a tuple or flattened rows, is given what is read, or several modules are added
up, it is a `ReadoutPoint`, which is called with the readout whenever the network runs.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from atlas_assets.errors import ModelError, expect
from atlas_assets.models.mlp_checks import differ, first_tensor, run, some_ids
from atlas_assets.models.mlps import Names

_REMEDY = "name the module whose output is to be read in ATLAS_MLP"


class ReadoutPoint(nn.Module):
    """Is called with the readout of a layer, and gives it back.

    Its forward hooks see ``[batch, tokens, width]``, and what they return instead of it goes into
    the network. Several threads may run the network.

    Args:
        callers: the network and the part of it that runs the blocks; some call parts of the latter
            alone.
        parts: the modules whose outputs are added up.
        of_input: whether the readout is what the only part is given, rather than what it gives.
        factor: what the outputs are multiplied with.
    """

    def __init__(
        self,
        callers: tuple[nn.Module, ...],
        parts: Sequence[nn.Module],
        *,
        of_input: bool = False,
        factor: float = 1.0,
    ) -> None:
        super().__init__()
        self._running = threading.local()
        self._n_parts = len(parts)
        self._factor = factor
        self._handles = [
            caller.register_forward_pre_hook(self._begin, with_kwargs=True) for caller in callers
        ]
        if of_input:
            self._handles += [part.register_forward_pre_hook(self._take_input) for part in parts]
        else:
            self._handles += [part.register_forward_hook(self._take) for part in parts]

    def forward(self, readout: Tensor) -> Tensor:
        """Return the readout as it is."""
        return readout

    def remove(self) -> None:
        """Take the hooks off the network again."""
        for handle in self._handles:
            handle.remove()

    def _begin(self, _base: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = (*args, kwargs.get("input_ids"), kwargs.get("inputs_embeds"))
        ids = next(each for each in given if each is not None)
        self._running.shape, self._running.outputs = ids.shape[:2], []

    def _take_input(self, part: nn.Module, inputs: tuple[Any, ...]) -> object:
        return self._take(part, None, inputs)

    def _take(self, _part: nn.Module, _inputs: object, output: object) -> object:
        given = first_tensor(output)
        if given is None or not hasattr(self._running, "shape"):
            return None
        outputs = self._running.outputs
        readout = given.reshape(*self._running.shape, given.shape[-1])
        # a block may add to it in place before the next part has run
        outputs.append(readout.clone() if self._n_parts > 1 else readout)
        if len(outputs) < self._n_parts:
            return None
        total = torch.stack(outputs).sum(dim=0) if self._n_parts > 1 else outputs[0]
        outputs.clear()
        if self._factor != 1:
            total = total * self._factor
        wanted = self(total)
        if self._n_parts > 1 or self._factor != 1:
            wanted = given.view_as(total) + (wanted - total) / self._factor
        return _with_first(output, given, wanted.reshape(given.shape))


def _with_first(output: object, given: Tensor, changed: Tensor) -> object:
    """What a module gives, with another tensor in the place of the one that was read."""
    if isinstance(output, tuple | list):
        return type(output)([changed if each is given else each for each in output])
    return changed


def readout_points(
    network: nn.Module, base: nn.Module, names: Names
) -> tuple[tuple[nn.Module, ...], int]:
    """Return the module of each layer whose output is the readout, and the readouts' width.

    Args:
        network: the whole model.
        base: the part of it that runs the blocks.
        names: per layer, the names of the modules whose outputs are added up.

    Raises:
        ModelError: a module does not give one tensor of a row per token exactly once per pass, or
            the layers differ in width.
    """
    layers = [[network.get_submodule(part) for part in parts] for parts in names]
    outputs = _run(network, base, [module for parts in layers for module in parts])
    widths = [
        {width_of(name, outputs[module], _REMEDY) for name, module in zip(*of_layer, strict=True)}
        for of_layer in zip(names, layers, strict=True)
    ]
    distinct = sorted(set().union(*widths))
    expect(
        len(distinct) == 1,
        ModelError,
        "the layers' readouts differ in width",
        where=names[0][0],
        expected="one width",
        found=", ".join(map(str, distinct)),
        remedy=_REMEDY,
    )
    points = tuple(
        parts[0]
        if len(parts) == 1 and getattr(outputs[parts[0]][0], "ndim", 0) == 3
        else ReadoutPoint((network, base), parts)
        for parts in layers
    )
    return points, distinct[0]


#: what is run to see what modules give
ROWS, TOKENS = 2, 3


def _run(
    network: nn.Module, base: nn.Module, modules: list[nn.Module]
) -> dict[nn.Module, list[object]]:
    """Run a few tokens and return every output of each module."""
    outputs: dict[nn.Module, list[object]] = defaultdict(list)
    hooks = [
        module.register_forward_hook(lambda m, _i, output: outputs[m].append(output))
        for module in modules
    ]
    try:
        with torch.inference_mode():
            run(base, some_ids(network, ROWS, TOKENS))
    finally:
        for hook in hooks:
            hook.remove()
    return outputs


def width_of(name: str, outputs: Sequence[object], remedy: str) -> int:
    """Return the width of what a module gave for `ROWS` rows of `TOKENS` tokens.

    Raises:
        ModelError: it was not one row per token, in order, exactly once.
    """
    expected, given = "a tensor [batch, tokens, width]", None
    if len(outputs) != 1:
        expected, found = "one call per pass", f"{len(outputs)} calls"
    elif (given := first_tensor(outputs[0])) is None:
        found = type(outputs[0]).__name__
    elif tuple(given.shape[:-1]) not in ((ROWS, TOKENS), (ROWS * TOKENS,)):
        found = f"shape {list(given.shape)} for {ROWS} rows of {TOKENS} tokens"
    else:
        # the rows are the same but for their last token
        one, other = given.reshape(ROWS, TOKENS, -1)[:, :-1]
        if not differ(one, other):
            return int(given.shape[-1])
        found = "another order of tokens, or readouts that depend on later tokens"
        if given.isnan().any():
            expected, found = "numbers", "nan"
            remedy = "look for weights that are nan or infinite, and fetch the checkpoint again"
    raise ModelError(
        "a layer cannot be read",
        where=name,
        expected=expected,
        found=found,
        remedy=remedy,
    )
