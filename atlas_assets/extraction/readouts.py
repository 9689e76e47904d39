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
    """Reads the MLP modules' outputs while a network runs; made by `tapped`.

    Several threads may read at a time: each sees the outputs of its own batch.
    """

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._batch = _Batch()

    def read(
        self,
        network: torch.nn.Module,
        ids: torch.Tensor,
        positions: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, Any]:
        """Run one batch and read the MLP modules.

        Args:
            network: the model's network, or its base where no logits are wanted.
            ids: int64 ``[batch, tokens]`` on the network's device.
            positions: int64 ``[batch]``, the index from the left that is read in each row.
            attention_mask: int64 ``[batch, tokens]``, 1 at real tokens; given to networks that
                take one. None gives none.

        Returns:
            The readouts, float32 ``[batch, layers, width]`` on the network's device, whatever the
            network's dtype; and what the network returned.

        Raises:
            ModelError: an MLP module did not run, or its output has another shape.
        """
        self._batch.rows, self._batch.positions = {}, positions
        taken = inspect.signature(network.forward).parameters
        options: dict[str, Any] = {"use_cache": False} if "use_cache" in taken else {}
        if attention_mask is not None and "attention_mask" in taken:
            options["attention_mask"] = attention_mask
        with torch.inference_mode():
            output = network(ids, **options)
        rows, self._batch.rows = self._batch.rows, {}
        missing = sorted(set(range(self._model.n_layers)) - set(rows))
        if missing:
            raise ModelError(
                "an MLP module did not run in the network's forward pass",
                where=f"layer {missing[0]}",
                expected="each block calls its MLP module once",
                found="no call",
                remedy="check the modules listed in the loaded model's mlps",
            )
        return torch.stack([rows[layer] for layer in sorted(rows)], dim=1), output

    def hook(self, layer: int) -> Callable[[torch.nn.Module, Any, Any], None]:
        """Return the forward hook that keeps the wanted rows of a layer's output."""

        def keep(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
            tensor = output[0] if isinstance(output, tuple) else output
            batch, width = len(self._batch.positions), self._model.width
            if tensor.ndim != 3 or tensor.shape[0] != batch or tensor.shape[2] != width:
                raise ModelError(
                    "an MLP module's output is not a readout",
                    where=f"layer {layer}",
                    expected=f"shape [{batch}, tokens, {width}]",
                    found=f"shape {list(tensor.shape)}",
                    remedy="use a causal LM whose MLP modules map the residual stream to itself",
                )
            rows = torch.arange(batch, device=tensor.device)
            self._batch.rows[layer] = tensor[rows, self._batch.positions].float()

        return keep


@contextmanager
def tapped(model: LoadedModel) -> Iterator[ReadoutTap]:
    """Put a `ReadoutTap` on a model; its hooks are removed when the block ends, however it ends."""
    tap = ReadoutTap(model)
    handles = [m.register_forward_hook(tap.hook(layer)) for layer, m in enumerate(model.mlps)]
    try:
        yield tap
    finally:
        for handle in handles:
            handle.remove()
