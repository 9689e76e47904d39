"""Pair masks of two halves of the prompts, and how well their circuits agree.

The halves are of different subject areas (`stages.circuits.samples`); both are read at the concept.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from atlas_assets.stages import columns as col
from atlas_assets.stages.activations.positions import HALVES, LEVELS, PositionActivations
from atlas_assets.stages.circuits import definitions
from atlas_assets.stages.circuits.identification import identify
from atlas_assets.stages.circuits.samples import Half
from atlas_assets.stages.concepts import split_concept
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.rounding import Reals
from atlas_assets.stages.schema import TableSchema

SCHEMA = TableSchema(
    columns=(
        col.mean("kappa", "κ: a neuron fires where |readout| exceeds κ times the layer's scale"),
        col.share("share", "π: the share of a concept's pairs whose masks hold a neuron"),
        col.concept("concept", "concept"),
        col.KIND,
        col.count("size_discovery", "neurons of the circuit from the half that discovers"),
        col.count("size_test", "neurons of the circuit from the half that tests"),
        col.share("jaccard", "|A∩B| / |A∪B| of the two circuits, all layers; 0 if both are empty"),
        col.share(
            "identification_top1", "pairs of the other half that rank it first", nullable=True
        ),
        col.rank("identification_rank", "its mean rank among the concepts of its type, 1 best"),
    ),
    key=("kappa", "share", "concept"),
)


def pair_masks(
    activations: PositionActivations,
    half: Half,
    kappa: float = definitions.KAPPA,
    consistency: float = definitions.CONSISTENCY,
) -> Masks:
    """Return the neurons that fire on at least a share C of each pair's prompts of a half.

    Pairs without a prompt in that half are left out.
    """
    row = HALVES.index(half)
    there = activations.n_prompts[row] > 0
    names = tuple(n for n, has in zip(activations.names, there, strict=True) if has)
    counts = activations.counts[LEVELS.index(kappa), row][there]
    return definitions.firing_masks(names, counts, activations.n_prompts[row][there], consistency)


def split_half(activations: PositionActivations) -> pl.DataFrame:
    """Return the agreement of calibrated circuits of both halves, at every κ and π reported."""
    rows: list[tuple[object, ...]] = []
    for kappa in definitions.KAPPAS:
        first, second = (pair_masks(activations, half, kappa) for half in HALVES)
        for share in definitions.SHARES:
            one, other = (definitions.calibrated(each, share) for each in (first, second))
            found = identify(one.bits.astype(np.float64), one.names, second)
            for concept, alike, sizes in zip(
                one.names, jaccard(one, other), _sizes(one, other), strict=True
            ):
                its = found.get(concept)
                told = (its.top1, its.rank) if its else (None, None)
                kind = split_concept(concept)[0]
                rows.append((kappa, share, concept, kind, *sizes, alike, *told))
    return pl.DataFrame(rows, schema=SCHEMA.polars, orient="row")


def jaccard(one: Masks, other: Masks) -> list[float]:
    """Return |A∩B| / |A∪B| of the circuits of each concept of ``one``; 0 if both are empty."""
    bits = _aligned(one, other)
    shared = np.count_nonzero(one.bits & bits, axis=(1, 2))
    union = np.count_nonzero(one.bits | bits, axis=(1, 2))
    found: Reals = np.divide(shared, union, out=np.zeros(len(union)), where=union > 0)
    return list(found.tolist())


def _sizes(one: Masks, other: Masks) -> list[tuple[int, int]]:
    counts = (np.count_nonzero(bits, axis=(1, 2)) for bits in (one.bits, _aligned(one, other)))
    return list(zip(*(each.tolist() for each in counts), strict=True))


def _aligned(one: Masks, other: Masks) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """The masks of ``other`` for the concepts of ``one``; empty for one that it lacks."""
    bits = np.zeros(one.bits.shape, dtype=np.bool_)
    for row, name in enumerate(one.names):
        if name in other.names:
            bits[row] = other.bits[other.index(name)]
    return bits
