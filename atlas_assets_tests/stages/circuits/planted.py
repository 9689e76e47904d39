"""Pair masks with circuits that were put into them, and the same under shuffled labels."""

from __future__ import annotations

import numpy as np

from atlas_assets.stages.masks.masks import Masks

NODES = [f"N{number}" for number in range(8)]
BUILTINS = [f"b{number}" for number in range(6)]
WIDTH = 120
#: neurons of every mask
COMMON = {0, 1, 2, 3}
#: bits that are flipped at random
NOISE = 0.004


def circuit_of(concept: str) -> set[int]:
    """Four neurons of an AST node, or of a builtin, its own."""
    kind, _, name = concept.partition("__")
    first = 10 if kind == "ast" else 60
    return {first + 4 * int(name[1:]) + step for step in range(4)}


def pair_masks(seed: int) -> tuple[Masks, Masks]:
    """Masks of all pairs from two samples of prompts: the discovered and the held-out ones."""
    rng = np.random.default_rng(seed)
    names = tuple(sorted(f"{node}__{builtin}" for node in NODES for builtin in BUILTINS))
    bits = np.zeros((len(names), 1, WIDTH), dtype=np.bool_)
    for row, name in enumerate(names):
        node, builtin = name.split("__")
        held = circuit_of(f"ast__{node}") | circuit_of(f"builtin__{builtin}") | COMMON
        bits[row, 0, sorted(held)] = True
    first, second = (bits ^ (rng.random(bits.shape) < NOISE) for _ in range(2))
    return Masks(names, first), Masks(names, second)


def shuffled(masks: Masks, seed: int) -> Masks:
    """The same masks under the names of other pairs."""
    order = np.random.default_rng(seed).permutation(len(masks.names))
    return Masks(masks.names, masks.bits[order])
