"""Can a concept be told from the others by its circuit, on prompts of other domains?

The pairs are the same; their prompts are of domains that had no part in circuits (published
circuits alone are of all domains). The mask of a pair on these is compared with the circuits of all
concepts of one type by the cosine of the two after the background of each is taken off: of a
circuit the mean of all circuits of the type, of a pair mask the mean of all pair masks. The
concept's rank is 1 where its own circuit is the most similar; of k equally similar ones each is
first in one case of k.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from atlas_assets.stages.concepts import Kind, pairs_of_concepts, split_concept
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.rounding import Reals

#: cosines this close are equal: they differ by rounding errors only
_ROUNDING_ERRORS = 1e-9


@dataclass(frozen=True)
class Identified:
    """How well one concept is told from the others of its type.

    Attributes:
        rank: The mean rank of the concept over its pairs; (n + 1) / 2 by chance.
        top1: The share of its pairs that rank it first; 1 / n by chance.
        n: The number of concepts that it is told from, itself included.
        pairs: The number of its pairs.
    """

    rank: float
    top1: float
    n: int
    pairs: int


def identify(circuits: Reals, names: tuple[str, ...], held_out: Masks) -> dict[str, Identified]:
    """Return how well each concept is identified, by concept.

    Args:
        circuits: float64 ``[concepts, layers, width]``: 1 in a circuit and 0 elsewhere, or weights.
        names: The concepts, sorted.
        held_out: Pair masks of prompts of other domains.
    """
    pairs = held_out.bits.astype(np.float64)
    return identify_by(circuits, names, pairs, held_out.names)


def identify_by(
    known: Reals, names: tuple[str, ...], pairs: Reals, pair_names: tuple[str, ...]
) -> dict[str, Identified]:
    """Return how well concepts are identified by any features: `identify` has those of neurons.

    Args:
        known: float64 ``[concepts, ...]``, what each concept looks like.
        names: The concepts, sorted.
        pairs: float64 ``[pairs, ...]``, the same features of pairs, of prompts of other domains.
        pair_names: The names of these pairs.
    """
    members = pairs_of_concepts(pair_names)
    if not members:
        return {}
    held_out = centred(pairs.reshape(len(pairs), -1))
    found = {}
    for kind in ("ast", "builtin"):
        own = [row for row, name in enumerate(names) if split_concept(name)[0] == kind]
        if not own:
            continue
        cosines = held_out @ centred(known[own].reshape(len(own), -1)).T
        for column, row in enumerate(own):
            rows = members.get(names[row], [])
            if rows:
                found[names[row]] = ranked(cosines[rows], column)
    return dict(sorted(found.items()))


def centred(vectors: Reals) -> Reals:
    """Return vectors less their mean, of length 1; zero where nothing is left."""
    left = vectors - vectors.mean(axis=0)
    lengths = np.linalg.norm(left, axis=1, keepdims=True)
    # what is left of equal vectors is rounding errors
    known = lengths > 1e-9 * (1 + np.abs(vectors).max(initial=0))
    scaled: Reals = np.divide(left, lengths, out=np.zeros_like(left), where=known)
    return scaled


def ranked(cosines: Reals, own: int) -> Identified:
    """Rank the column ``own`` among all, in each row."""
    ahead = np.count_nonzero(cosines > cosines[:, [own]] + _ROUNDING_ERRORS, axis=1)
    level = np.abs(cosines - cosines[:, [own]]) <= _ROUNDING_ERRORS
    ties = np.count_nonzero(level, axis=1)
    top = np.where(ahead == 0, 1 / ties, 0.0)
    ranks = 1 + ahead + (ties - 1) / 2
    return Identified(float(ranks.mean()), float(top.mean()), cosines.shape[1], len(cosines))


def centroids(discovered: Masks) -> tuple[Reals, tuple[str, ...]]:
    """Return the mean pair mask of each concept, the baseline of nearest centroids.

    It is float64 ``[concepts, layers, width]``, with the names of the concepts, sorted.
    """
    return means_of_concepts(discovered.bits.astype(np.float64), discovered.names)


def means_of_concepts(pairs: Reals, pair_names: tuple[str, ...]) -> tuple[Reals, tuple[str, ...]]:
    """Return the mean over each concept's pairs, float64 ``[concepts, ...]``, and their names."""
    members = pairs_of_concepts(pair_names)
    means = np.zeros((len(members), *pairs.shape[1:]))
    for mean, rows in zip(means, members.values(), strict=True):
        mean[:] = pairs[rows].mean(axis=0)
    return means, tuple(members)


def of_kind(found: Mapping[str, Identified], kind: Kind | None) -> list[Identified]:
    """Return what was found of the concepts of a kind, or of all."""
    return [each for name, each in found.items() if kind in (None, split_concept(name)[0])]
