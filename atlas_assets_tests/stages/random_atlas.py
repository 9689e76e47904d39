"""Small random activations and masks, with the awkward cases in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from atlas_assets.errors import AtlasError
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.report.table import Table
from atlas_assets.stages.setting import PUBLISHED_CONSISTENCIES, PUBLISHED_EPSILONS, grid

SWEEP = grid(PUBLISHED_EPSILONS, PUBLISHED_CONSISTENCIES)
AST_NODES = ("Assert", "For", "FormattedValue", "Import", "ImportFrom", "While")
BUILTINS = ("ValueError", "_isolated_", "dict", "len", "print")


def pair_names(rng: np.random.Generator, n_pairs: int) -> tuple[str, ...]:
    """Distinct pairs; with few of them, most concepts have one pair only."""
    everything = [f"{a}__{b}" for a in AST_NODES for b in BUILTINS]
    return tuple(sorted(rng.choice(everything, size=n_pairs, replace=False).tolist()))


def concept_names(n: int) -> tuple[str, ...]:
    """Concepts of both kinds, sorted."""
    kinds = ("ast", "builtin")
    return tuple(sorted(f"{kinds[i % 2]}__{'CD'[i % 2]}{i:03d}" for i in range(n)))


def activations(
    rng: np.random.Generator, names: tuple[str, ...], n_layers: int = 3, width: int = 7
) -> Activations:
    """Unequal prompt counts; many means and rates exactly at a threshold; some units all or none.

    A mean of 0.1 in float32 is above 0.1 in float64, so a comparison in the wrong precision shows.
    """
    shape = (len(names), n_layers, width)
    n_prompts = rng.choice([1, 3, 10, 50], size=len(names)).astype(np.int32)
    n = n_prompts[:, None, None]
    counts = np.rint(rng.choice([0.0, 0.2, 0.5, 0.8, 1.0, 0.37], size=shape) * n).astype(np.int32)
    means = rng.choice([0.0, 0.001, 0.1, 0.5, 0.7, 3.0], size=shape)
    sums = (means * n).astype(np.float32)
    nudge = rng.integers(-1, 2, size=shape)
    neighbours = np.nextafter(sums, np.where(nudge > 0, 999, 0).astype(np.float32))
    sums = np.where(nudge == 0, sums, neighbours)
    whole = rng.random(len(names))
    counts[whole < 0.1], sums[whole < 0.1] = 0, 0
    counts[whole > 0.9], sums[whole > 0.9] = n_prompts.max(), 1000
    counts = np.minimum(counts, n).astype(np.int32)
    return Activations(names, n_prompts, sums, counts)


def masks(
    rng: np.random.Generator, names: tuple[str, ...], n_layers: int = 3, width: int = 24
) -> Masks:
    """Masks of all densities, some empty and some full; few neurons, so that ties abound."""
    density = rng.choice([0.0, 0.1, 0.5, 0.9, 1.0], size=(len(names), n_layers, 1))
    return Masks(names, rng.random((len(names), n_layers, width)) < density)


def flipped(masks: Masks, where: tuple[int, ...]) -> Masks:
    """The same masks but for one neuron."""
    bits = masks.bits.copy()
    bits[where] = ~bits[where]
    return Masks(masks.names, bits)


def column(found: Table, name: str) -> list[str]:
    """The texts of one column of a table of the report."""
    return [row[found.columns.index(name)] for row in found.rows]


@contextmanager
def refused(kind: type[AtlasError], *found: str) -> Iterator[None]:
    """What is done in the context is refused, with a whole message that says what was found."""
    with pytest.raises(kind) as caught:
        yield
    error = caught.value
    assert all((error.what, error.where, error.expected, error.found, error.remedy))
    assert all(part in str(error) for part in found)
