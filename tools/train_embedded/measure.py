"""Measures a finished checkpoint: its losses on prompts and how sparse its matrices are."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from atlas_assets.extraction.extraction import score
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.progress import Progress
from tools.train_embedded.data import discovers

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PromptLosses:
    """Losses on the object prompts, in nats per token.

    Attributes:
        prompts: how many were scored.
        mean: over all prompts.
        highest_pair: the highest mean loss of a pair in one half of the domains, those trained on
            or those held out, which the threshold must let pass.
        longest: tokens of the longest prompt.
    """

    prompts: int
    mean: float
    highest_pair: float
    longest: int

    @property
    def threshold(self) -> float:
        """A threshold that every pair passes: a quarter above the highest, up to the next half."""
        return math.ceil(2 * (self.highest_pair + 0.25)) / 2


def prompt_losses(model: LoadedModel, candidates: pl.DataFrame) -> PromptLosses:
    """Score the object prompts with a model.

    Args:
        model: the finished checkpoint, loaded.
        candidates: columns ``ast_node``, ``builtin_obj``, ``variation_id``, ``prompt_text``.
    """
    scores = score(
        model,
        candidates["prompt_text"].to_list(),
        shards=ShardStore(None, str(model.identity.weights_sha256)),
        progress=Progress("scoring", _log.info),
    )
    pairs = candidates.select("ast_node", "builtin_obj", half=discovers()).with_columns(
        loss=scores.losses
    )
    means = pairs.group_by("ast_node", "builtin_obj", "half").agg(pl.col("loss").mean())["loss"]
    return PromptLosses(
        prompts=len(candidates),
        mean=float(scores.losses.mean()),
        highest_pair=float(np.max(means.to_numpy())),
        longest=int(scores.lengths.max()),
    )


def densities(model: LoadedModel) -> dict[str, dict[str, int]]:
    """Count entries and non-zero entries of the matrices, by kind and over all (key ``all``).

    A kind is a tensor's name without the layer's number: ``attn.c_attn``, ``wte``, ….
    """
    found: dict[str, dict[str, int]] = {}
    for name, tensor in model.network.state_dict().items():
        if tensor.ndim != 2:
            continue
        own, nonzero = tensor.numel(), int(tensor.count_nonzero())
        for kind in (_kind(name), "all"):
            sums = found.setdefault(kind, {"entries": 0, "nonzero": 0})
            sums["entries"] += own
            sums["nonzero"] += nonzero
    return {kind: found[kind] for kind in sorted(found, key=lambda kind: (kind == "all", kind))}


def _kind(name: str) -> str:
    parts: list[Any] = name.removesuffix(".weight").split(".")
    return ".".join(parts[parts.index("h") + 2 :]) if "h" in parts else str(parts[-1])
