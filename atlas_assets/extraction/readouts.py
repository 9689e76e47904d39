"""Layer readouts: what a block's MLP module gives, at one position of each prompt.

The readout of a layer is the output of the block's MLP *module*: after its last projection and,
in circuitgpt, after the ``mlp_out`` activation sparsity; before the residual add (docs/science.md,
"Vocabulary"). Hooks keep only the wanted position's row, on the network's device: nothing is
copied to the host while the network runs, and no layer's full output outlives its block.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from atlas_assets.errors import ModelError
from atlas_assets.models.loaded import LoadedModel


class _Batch(threading.local):
    """The batch that the current thread runs."""

    def __init__(self) -> None:
        self.rows: dict[int, torch.Tensor] = {}
        self.positions = torch.zeros(0, dtype=torch.int64)


class ReadoutTap:
    """Reads the MLP modules' outputs while the base network runs; made by `tapped`.

    Several threads may read at a time: each sees the outputs of its own batch.
    """

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._local = _Batch()
        self._options = call_options(model.base)
        self._network_options = call_options(model.network)

    def read(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Run the blocks on one batch and read the MLP modules.

        Args:
            ids: int64 ``[batch, tokens]`` on the network's device.
            positions: int64 ``[batch]``, the index from the left that is read in each row.
            attention_mask: int64 ``[batch, tokens]``, 1 at real tokens; given to networks that
                take one. None gives none.

        Returns:
            float32 ``[batch, layers, width]`` on the network's device, whatever the network's
            dtype.

        Raises:
            ModelError: an MLP module did not run, or its output has another shape.
        """
        with torch.inference_mode():
            self._local.rows, self._local.positions = {}, positions
            run(self._model.base, ids, attention_mask, self._options)
            return self._take()

    def read_with_logits(
        self, ids: torch.Tensor, positions: torch.Tensor, attention_mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the whole network on one batch and read the MLP modules, as `read` does.

        Returns:
            The readouts, and the logits ``[batch, tokens, vocabulary]`` in the network's dtype.
        """
        with torch.inference_mode():
            self._local.rows, self._local.positions = {}, positions
            output = run(self._model.network, ids, attention_mask, self._network_options)
            return self._take(), output.logits

    def keep(self, layer: int, output: Any) -> None:
        """Keep the wanted rows of one layer's output; the hooks call this."""
        tensor = output[0] if isinstance(output, tuple) else output
        positions = self._local.positions
        batch = len(positions)
        if tensor.ndim != 3 or tensor.shape[0] != batch or tensor.shape[2] != self._model.width:
            raise ModelError(
                "an MLP module's output is not a readout",
                where=f"layer {layer}",
                expected=f"shape [{batch}, tokens, {self._model.width}]",
                found=f"shape {list(tensor.shape)}",
                remedy="use a causal LM whose MLP modules map the residual stream to itself",
            )
        rows = torch.arange(batch, device=tensor.device)
        self._local.rows[layer] = tensor[rows, positions].float()

    def _take(self) -> torch.Tensor:
        """The rows kept during the call, stacked; the tap is empty again."""
        readouts = torch.stack([self._row(layer) for layer in range(self._model.n_layers)], 1)
        self._local.rows = {}
        return readouts

    def _row(self, layer: int) -> torch.Tensor:
        row = self._local.rows.get(layer)
        if row is None:
            raise ModelError(
                "an MLP module did not run in the network's forward pass",
                where=f"layer {layer}",
                expected="each block calls its MLP module once",
                found="no call",
                remedy="check the modules listed in the loaded model's mlps",
            )
        return row


@contextmanager
def tapped(model: LoadedModel) -> Iterator[ReadoutTap]:
    """Put a `ReadoutTap` on a model; its hooks are removed when the block ends, however it ends."""
    tap = ReadoutTap(model)
    handles = [
        module.register_forward_hook(_hook(tap, layer)) for layer, module in enumerate(model.mlps)
    ]
    try:
        yield tap
    finally:
        for handle in handles:
            handle.remove()


def call_options(network: torch.nn.Module) -> frozenset[str]:
    """Return the names of the arguments that ``network`` takes."""
    return frozenset(inspect.signature(network.forward).parameters)


def run(
    network: torch.nn.Module,
    ids: torch.Tensor,
    attention_mask: torch.Tensor | None,
    options: frozenset[str],
) -> Any:
    """Call ``network`` on a batch, with the mask where it takes one and no key-value cache."""
    arguments: dict[str, Any] = {}
    if attention_mask is not None and "attention_mask" in options:
        arguments["attention_mask"] = attention_mask
    if "use_cache" in options:
        arguments["use_cache"] = False
    return network(ids, **arguments)


def _hook(tap: ReadoutTap, layer: int) -> Callable[[torch.nn.Module, Any, Any], None]:
    def hook(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        tap.keep(layer, output)

    return hook
