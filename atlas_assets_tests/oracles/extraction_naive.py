"""Scoring and stage 12, one prompt after the other, as a reader of the definition writes them.

Shares no code with the package: own hooks, own padding, own sums; nothing is deduplicated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from atlas_assets.models.circuitgpt_layers import in_authors_order

Sums = dict[str, tuple[np.ndarray, np.ndarray, int]]


def layer_outputs(model: Any, ids: list[list[int]]) -> list[torch.Tensor]:
    """Each MLP module's output ``[batch, tokens, width]`` on one rectangular batch, no mask."""
    seen: dict[int, torch.Tensor] = {}
    handles = []
    for layer, module in enumerate(model.points):

        def hook(_module: Any, _inputs: Any, output: torch.Tensor, layer: int = layer) -> None:
            seen[layer] = output.detach().clone()

        handles.append(module.register_forward_hook(hook))
    with torch.no_grad():
        model.network(torch.tensor(ids))
    for handle in handles:
        handle.remove()
    return [seen[layer] for layer in range(len(model.points))]


def last_token(model: Any, units: Mapping[str, Sequence[str]]) -> Sums:
    """Every prompt alone, read at its last token."""
    result: Sums = {}
    for name, prompts in units.items():
        readouts = []
        for prompt in prompts:
            ids = model.tokenizer.encode(prompt)
            readouts.append([out[0, -1].float().numpy() for out in layer_outputs(model, [ids])])
        result[name] = _reduce(np.array(readouts))
    return result


def published(model: Any, units: Mapping[str, Sequence[str]]) -> Sums:
    """The release: 64 prompts of a unit at a time, padded left, read at (real tokens − 1)."""
    result: Sums = {}
    for name, prompts in units.items():
        readouts = []
        for start in range(0, len(prompts), 64):
            batch = [model.tokenizer.encode(text) for text in prompts[start : start + 64]]
            longest = max(len(ids) for ids in batch)
            rows = [[model.tokenizer.pad_id] * (longest - len(ids)) + ids for ids in batch]
            with in_authors_order(model.network):
                outputs = layer_outputs(model, rows)
            for row, ids in enumerate(batch):
                readouts.append([out[row, len(ids) - 1].float().numpy() for out in outputs])
        result[name] = _reduce(np.array(readouts))
    return result


def loss(model: Any, text: str) -> float:
    """Mean cross-entropy (nats) of tokens 2..n of the first 512; 50.0 below 2 tokens."""
    ids = model.tokenizer.encode(text)[:512]
    if len(ids) < 2:
        return 50.0
    with torch.no_grad():
        logits = model.network(torch.tensor([ids])).logits[0].double()
    losses = []
    for position in range(1, len(ids)):
        before = logits[position - 1]
        losses.append(float(torch.logsumexp(before, 0) - before[ids[position]]))
    return sum(losses) / len(losses)


def _reduce(readouts: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    strength = np.abs(readouts.astype(np.float64))
    return strength.sum(axis=0).astype(np.float32), (strength > 0).sum(axis=0), len(readouts)


def at_places(model: Any, read: Sequence[tuple[str, str, int]], kappas: Sequence[float]) -> Any:
    """Every prompt alone, read at one token: units' sums and counts, and the scale of the layers.

    Args:
        model: a loaded model.
        read: unit, prompt and token, once for each time that it counts.
        kappas: shares of the scale that a readout must exceed to count.
    """
    readouts = {}
    for _, prompt, token in read:
        outputs = layer_outputs(model, [model.tokenizer.encode(prompt)])
        readouts[prompt, token] = np.array([out[0, token].float().numpy() for out in outputs])
    squares = [np.mean(r.astype(np.float64) ** 2, axis=1) for r in readouts.values()]
    scale = np.sqrt(np.mean(squares, axis=0))
    units: dict[str, tuple[Any, Any]] = {}
    for unit, prompt, token in read:
        strength = np.abs(readouts[prompt, token].astype(np.float64))
        fires = np.array([strength > (kappa * scale)[:, None] for kappa in kappas]).astype(int)
        sums, counts = units.get(unit, (0, 0))
        units[unit] = sums + strength, counts + fires
    return scale, units
