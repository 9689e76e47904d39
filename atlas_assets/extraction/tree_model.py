"""Any causal language model of transformers on a prefix tree, unmodified.

A chunk of the tree is one row of tokens in preorder. A node's position is its depth, and a mask
shows it its ancestors alone, so that a network whose layers look at other tokens through masked
attention only, and at positions through ``position_ids`` only, gives each node what it gives the
last token of that prefix. Whether a network is such a one, `tree_probe` tries.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from atlas_assets.extraction.batching import placed
from atlas_assets.extraction.losses import LOGITS_PER_SLICE, tree_losses
from atlas_assets.extraction.prefix_tree import TreeChunk
from atlas_assets.extraction.prompts import IntArray
from atlas_assets.extraction.readouts import ReadoutTap
from atlas_assets.models.loaded import LoadedModel

#: most nodes of a chunk: attention looks at all pairs of them, so that more cost more each
NODES_ON_CPU, NODES_ELSEWHERE = 512, 2048
#: the attention of transformers that adds a float mask of any shape to its scores
ATTENTION = ("eager", "sdpa")
#: a layer's kind in `config.layer_types` → whether it looks back over a window alone
KINDS: Mapping[str, bool] = {"full_attention": False, "sliding_attention": True}


class TreeModel:
    """Runs chunks of a prefix tree through a network of transformers.

    Args:
        model: a network for which `obstacle` gives None.
        tap: reads its MLP modules.
    """

    def __init__(self, model: LoadedModel, tap: ReadoutTap) -> None:
        self._model = model
        self._tap = tap
        config: Any = model.network.config
        text = config.get_text_config()
        window = getattr(text, "sliding_window", None)
        own = ["full_attention" if window is None else "sliding_attention"]
        kinds = dict.fromkeys(getattr(text, "layer_types", None) or own)
        #: of each kind of layer, how many tokens a node sees, itself included; None: all
        self._windows = {kind: window if KINDS[kind] else None for kind in kinds}
        self._picks_logits = "logits_to_keep" in _taken(model.network)

    @torch.inference_mode()
    def run(
        self, chunk: TreeChunk, nodes: IntArray | None = None, *, losses: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Run the network on one chunk; see `tree_network.TreeNetwork.run`."""
        model, device = self._model, self._model.device
        tokens, depths, inner, read = (
            placed(part, device)
            for part in (
                chunk.tokens,
                chunk.depths,
                chunk.inner,
                chunk.ends if nodes is None else nodes,
            )
        )
        masks = {kind: self._mask(chunk, window) for kind, window in self._windows.items()}
        options: dict[str, Any] = {
            "position_ids": depths[None],
            "attention_mask": masks if len(masks) > 1 else next(iter(masks.values())),
        }
        if losses and self._picks_logits:
            options["logits_to_keep"] = inner
        network = model.network if losses else model.base
        places = (torch.zeros_like(read), read)
        readouts, output = self._tap.read(network, tokens[None], places, **options)
        if not losses:
            return readouts, None
        logits = output.logits[0] if self._picks_logits else output.logits[0, inner]
        del output
        # in float32 the logits are the network's own tensor, which nobody needs any more
        size = max(LOGITS_PER_SLICE // logits.shape[-1], 1)
        return readouts, tree_losses(chunk, tokens, lambda some: logits[some].float(), size)

    def _mask(self, chunk: TreeChunk, window: int | None) -> Tensor:
        """What is added to the scores ``[1, 1, queries, keys]``: 0 at an ancestor and oneself."""
        shown = torch.zeros((), dtype=self._model.dtype, device=self._model.device)
        hidden = placed(~visible(chunk, window), self._model.device)
        # a finite number, since of a row without any visible key −inf would make NaN
        return shown.masked_fill(hidden, torch.finfo(self._model.dtype).min)[None, None]


def visible(chunk: TreeChunk, window: int | None = None) -> npt.NDArray[np.bool_]:
    """Return bool ``[nodes, nodes]``: which nodes (last axis) are a node's ancestors, or itself.

    Args:
        chunk: the nodes.
        window: only so many of them, the nearest; None: all.
    """
    seen = np.zeros((len(chunk), len(chunk)), dtype=np.bool_)
    for node, parent in enumerate(chunk.parents.tolist()):
        if parent >= 0:
            seen[node] = seen[parent]
        seen[node, node] = True
    if window is not None:
        seen &= chunk.depths[:, None] - chunk.depths < window
    return seen


def most_nodes(model: LoadedModel) -> int:
    """Return the most nodes of a chunk; some networks cannot take more tokens than positions."""
    own = NODES_ON_CPU if model.device.type == "cpu" else NODES_ELSEWHERE
    return min(own, model.max_positions)


def obstacle(model: LoadedModel) -> str | None:
    """Return why a network cannot be given a tree at all; None where it may be tried."""
    from transformers import PreTrainedModel  # takes seconds to import, and a circuitgpt needs none

    network = model.network
    if not isinstance(network, PreTrainedModel):
        return "it is no network of transformers"
    lacking = {"attention_mask", "position_ids"} - _taken(network)
    if lacking:
        return f"it takes no {' and no '.join(sorted(lacking))}"
    config: Any = network.config
    if config._attn_implementation not in ATTENTION:
        return f"its attention is {config._attn_implementation}"
    strange = set(getattr(config.get_text_config(), "layer_types", None) or ()) - KINDS.keys()
    if strange:
        return f"it has layers of {', '.join(sorted(strange))}"
    return None


def _taken(network: torch.nn.Module) -> set[str]:
    return set(inspect.signature(network.forward).parameters)
