"""Layer readouts: what a block shows at the model's site, at one position of each prompt.

At the published site it is the output of the block's MLP *module*: after its last projection and,
in circuitgpt, after the ``mlp_out`` activation sparsity; before the residual add (docs/science.md,
"Vocabulary"). Other sites: `models.sites`. Hooks keep only the wanted position's row, on the
network's device: nothing is copied to the host while the network runs, and no layer's full output
outlives its block.
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
    """Reads the layers' readouts while a network runs; made by `tapped`.

    Several threads may read at a time: each sees the outputs of its own batch.
    """

    def __init__(self) -> None:
        self._batch = threading.local()

    def read(
        self,
        network: torch.nn.Module,
        ids: torch.Tensor,
        places: tuple[torch.Tensor, torch.Tensor],
        attention_mask: Any = None,
        **options: Any,
    ) -> tuple[torch.Tensor, Any]:
        """Run one batch and read its layers.

        Args:
            network: the model's network, or its base where no logits are wanted.
            ids: int64 ``[batch, tokens]`` on the network's device.
            places: what is read: rows of the batch, and in each the index from the left, both
                int64 ``[reads]``.
            attention_mask: int64 ``[batch, tokens]``, 1 at real tokens, or whatever else the
                network takes; given to networks that take one. None gives none.
            **options: are given to the network as they are.

        Returns:
            The readouts, float32 ``[reads, layers, width]`` on the network's device, whatever the
            network's dtype; and what the network returned.
        """
        taken = inspect.signature(network.forward).parameters
        if "use_cache" in taken:
            options["use_cache"] = False
        if attention_mask is not None and "attention_mask" in taken:
            options["attention_mask"] = attention_mask
        with torch.inference_mode():
            self.begin(*places)
            output = network(ids, **options)
            return self.taken(), output

    def begin(self, *places: torch.Tensor) -> None:
        """Keep, of what this thread runs from now on, the readouts at some places.

        Args:
            *places: indices of tokens in what the layers give, int64 ``[reads]`` for each axis.
        """
        self._batch.rows, self._batch.places = {}, places

    def taken(self) -> torch.Tensor:
        """Return the readouts since `begin`: float32 ``[reads, layers, width]``."""
        rows, self._batch.rows = self._batch.rows, {}
        return torch.stack([rows[layer] for layer in sorted(rows)], dim=1)

    def keep(
        self, layer: int, _module: torch.nn.Module, _inputs: Any, output: torch.Tensor
    ) -> None:
        """Keep the wanted places of a layer's output ``[…, tokens, width]``; a forward hook."""
        self._batch.rows[layer] = output[self._batch.places].float()


@contextmanager
def tapped(model: LoadedModel) -> Iterator[ReadoutTap]:
    """Put a `ReadoutTap` on a model; its hooks are removed when the block ends, however it ends."""
    tap = ReadoutTap()
    handles = [
        point.register_forward_hook(partial(tap.keep, layer))
        for layer, point in enumerate(model.points)
    ]
    try:
        yield tap
    finally:
        for handle in handles:
            handle.remove()
