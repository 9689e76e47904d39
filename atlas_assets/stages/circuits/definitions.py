"""What counts as the circuit of a concept: several definitions over the same measurements.

``published``    the universal mask at the reference setting
``calibrated``   the neurons in the pair masks of at least a share π of the concept's pairs; a pair
                 mask holds the neurons that fire on at least a share C of the pair's prompts
``contrastive``  the k neurons whose attribution is highest above its mean over all concepts, with
                 k the size of the concept's published circuit
``matched``      a control: per layer as many neurons as the published circuit has, none of them its
                 own, the nearest in mean |readout| that are left: weaker ones, as the published
                 circuit takes the strongest of a layer
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atlas_assets.stages import streams
from atlas_assets.stages.concepts import pairs_of_concepts
from atlas_assets.stages.masks.masks import Bits, Masks
from atlas_assets.stages.masks.thresholds import fewest_prompts
from atlas_assets.stages.rounding import Reals

Counts = npt.NDArray[np.int32]
#: κ: a neuron fires where |readout| exceeds κ times the scale of its layer
KAPPAS = (0.1, 0.3, 1.0)
KAPPA = 0.1
#: C: the share of a pair's prompts on which a neuron of its mask fires
CONSISTENCY = 0.5
#: π: the share of a concept's pairs whose masks hold a neuron of its circuit
SHARES = (0.5, 0.8, 1.0)
SHARE = 0.5
#: a matched neuron is drawn from this many of the nearest ones
NEAREST = 5
#: how often the control is drawn
MATCHED_DRAWS = 5


def firing_masks(
    names: tuple[str, ...], counts: Counts, n_prompts: Counts, consistency: float = CONSISTENCY
) -> Masks:
    """Return the neurons that fire on at least a share C of each unit's prompts.

    Args:
        names: The units, sorted.
        counts: int32 ``[units, layers, width]``, the prompts on which each neuron fires.
        n_prompts: int32 ``[units]``; the mask of a unit without prompts is empty.
        consistency: C.
    """
    fewest = fewest_prompts(np.maximum(n_prompts, 1), consistency)
    return Masks(names, counts >= fewest[:, np.newaxis, np.newaxis])


def calibrated(pairs: Masks, share: float = SHARE) -> Masks:
    """Return the neurons that the masks of at least a share π of each concept's pairs hold.

    Pairs are named ``{ast}__{builtin}``. With π = 1 it is the intersection of the masks.
    """
    members = pairs_of_concepts(pairs.names)
    bits = np.empty((len(members), pairs.n_layers, pairs.width), dtype=np.bool_)
    for circuit, rows in zip(bits, members.values(), strict=True):
        circuit[:] = held_by(pairs.bits[rows].sum(axis=0, dtype=np.int64), len(rows), share)
    return Masks(tuple(members), bits)


def held_by(held: npt.NDArray[np.integer], n: int, share: float) -> Bits:
    """Return where at least a share of ``n`` masks hold a neuron, given how many do."""
    (fewest,) = fewest_prompts(np.array([n]), share)
    return held >= max(int(fewest), 1)


def contrastive(attributions: Reals, published: Masks) -> Masks:
    """Return the neurons of highest attribution above the mean over concepts.

    Args:
        attributions: float64 ``[concepts, layers, width]``, of the concepts of ``published``.
        published: The circuits whose sizes the result has.
    """
    contrast = attributions - attributions.mean(axis=0)
    bits = np.zeros(published.bits.shape, dtype=np.bool_)
    for circuit, scores, size in zip(
        bits, contrast, published.sizes().sum(axis=1).tolist(), strict=True
    ):
        # of equal scores the neuron that comes first
        circuit.reshape(-1)[np.argsort(-scores.ravel(), kind="stable")[:size]] = True
    return Masks(published.names, bits)


def matched(circuits: Masks, strength: Reals, *, draw: int = 0, seed: int = 42) -> Masks:
    """Return for each circuit one of other neurons, the nearest in mean |readout| that are left.

    The neurons of a layer's circuit, in random order, are each replaced by one of the five nearest
    that are neither in the circuit nor taken; where a layer has no others left, it gets fewer
    (`are_matched`). Of a circuit of the strongest neurons the control is weaker: nothing as strong
    is left.

    Args:
        circuits: The circuits.
        strength: float64 ``[concepts, layers, width]``, the mean |readout| over each concept.
        draw: The number of the draw; each has a stream of its own.
        seed: The seed of all draws.
    """
    bits = np.zeros(circuits.bits.shape, dtype=np.bool_)
    for row, name in enumerate(circuits.names):
        stream = streams.of_concept(seed, f"{name} {draw}")
        for layer in range(circuits.n_layers):
            own = circuits.bits[row, layer]
            taken = _matched_of_layer(own, strength[row, layer], stream)
            bits[row, layer, taken] = True
    return Masks(circuits.names, bits)


def are_matched(circuits: Masks) -> npt.NDArray[np.bool_]:
    """Return whether the control of each circuit has as many neurons as it: bool ``[circuits]``.

    It has where no layer's circuit takes more than half of the layer. What a smaller control costs
    says nothing of the circuit, so that no circuit is compared with one.
    """
    largest: npt.NDArray[np.int64] = circuits.sizes().max(axis=1)
    return 2 * largest <= circuits.width


def matched_ratios(circuits: Masks, strength: Reals) -> dict[str, float]:
    """Return how strong each circuit's first control is, by concept.

    That is the mean |readout| of the control's neurons over that of the circuit's: 1 where they are
    as strong. Circuits without a neuron, or without a control of their size, have none.

    Args:
        circuits: The circuits.
        strength: float64 ``[concepts, layers, width]``, the mean |readout| over each concept.
    """
    found = {}
    controls = matched(circuits, strength).bits
    for name, own, control, levels, compares in zip(
        circuits.names, circuits.bits, controls, strength, are_matched(circuits), strict=True
    ):
        if compares and own.any() and (of_own := levels[own].mean()):
            found[name] = float(levels[control].mean() / of_own)
    return found


def _matched_of_layer(own: Bits, strength: Reals, stream: np.random.Generator) -> list[int]:
    free = np.flatnonzero(~own)
    free = free[np.argsort(strength[free], kind="stable")]
    levels = strength[free]
    taken: list[int] = []
    for neuron in stream.permutation(np.flatnonzero(own)).tolist():
        if not len(free):
            break
        # the nearest lie around the place at which the neuron would be sorted in
        place = int(np.searchsorted(levels, strength[neuron]))
        low = max(place - NEAREST, 0)
        distance = np.abs(levels[low : place + NEAREST] - strength[neuron])
        near = low + np.argsort(distance, kind="stable")[:NEAREST]
        chosen = int(stream.choice(near))
        taken.append(int(free[chosen]))
        free, levels = np.delete(free, chosen), np.delete(levels, chosen)
    return taken


def concept_means(pair_names: tuple[str, ...], sums: Reals, n_prompts: Counts) -> Reals:
    """Return the mean over all prompts of each concept's pairs: ``[concepts, layers, width]``."""
    members = pairs_of_concepts(pair_names).values()
    return np.stack(
        [sums[rows].sum(axis=0, dtype=np.float64) / n_prompts[rows].sum() for rows in members]
    )
