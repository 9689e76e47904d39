"""Layer readouts: what a block's MLP module gives, at one position of each prompt.

The readout of a layer is the output of the block's MLP *module*: after its last projection and,
in circuitgpt, after the ``mlp_out`` activation sparsity; before the residual add (docs/science.md,
"Vocabulary"). Hooks keep only the wanted position's row, on the network's device: nothing is
copied to the host while the network runs, and no layer's full output outlives its block.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from atlas_assets.models.loaded import LoadedModel


class ReadoutTap:
    """Reads the MLP modules' outputs while a network runs; made by `tapped`.

    Several threads may read at a time: each sees the outputs of its own batch.
    """

    def __init__(self) -> None:
        self._batch = threading.local()

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
        """
        self._batch.rows, self._batch.positions = {}, positions
        taken = inspect.signature(network.forward).parameters
        options: dict[str, Any] = {"use_cache": False} if "use_cache" in taken else {}
        if attention_mask is not None and "attention_mask" in taken:
            options["attention_mask"] = attention_mask
        with torch.inference_mode():
            output = network(ids, **options)
            rows, self._batch.rows = self._batch.rows, {}
            return torch.stack([rows[layer] for layer in sorted(rows)], dim=1), output

    def keep(
        self, layer: int, _module: torch.nn.Module, _inputs: Any, output: torch.Tensor
    ) -> None:
        """Keep the wanted rows of a layer's output ``[batch, tokens, width]``; a forward hook."""
        positions = self._batch.positions
        rows = torch.arange(len(positions), device=output.device)
        self._batch.rows[layer] = output[rows, positions].float()


@contextmanager
def tapped(model: LoadedModel) -> Iterator[ReadoutTap]:
    """Put a `ReadoutTap` on a model; its hooks are removed when the block ends, however it ends."""
    tap = ReadoutTap()
    handles = [
        mlp.register_forward_hook(partial(tap.keep, layer)) for layer, mlp in enumerate(model.mlps)
    ]
    try:
        yield tap
    finally:
        for handle in handles:
            handle.remove()
