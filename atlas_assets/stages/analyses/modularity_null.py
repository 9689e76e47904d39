"""A permutation null for modularity, beside the release's percentile (docs/science.md §5 and §8).

Is a circuit's mean similarity to the others smaller than its size and the popularity of its neurons
already imply? The null keeps both: the concepts × neurons matrix of a layer is randomised with its
row sums (circuit sizes) and column sums (how many circuits a neuron is in) fixed.

It is sampled by *curveball trades* (Strona et al. 2014, Nature Communications 5:4114): two circuits
put the neurons that only one of them has into a pool and draw it again, each as many as it put in.
Circuits trade in *global trades* (Carstens et al. 2018, ESA): all are matched at random, so that
each takes part in one trade. Trades are symmetric and connect all matrices with the same margins,
so the chain's stationary distribution is uniform over them.

Each global trade halves what a circuit's trimmed mean remembers: on made-up circuits of the
published number and sizes, its autocorrelation is 0.50 after one, 0.25 after two, 0.02 after five
and none that can be measured after eight. Ten separate two samples; thirty precede the first.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.stages import columns as col
from atlas_assets.stages import streams
from atlas_assets.stages.analyses.modularity import similarities_to_others
from atlas_assets.stages.artifact import Artifact
from atlas_assets.stages.concepts import split_concept
from atlas_assets.stages.masks.masks import Bits, Masks
from atlas_assets.stages.rounding import Reals
from atlas_assets.stages.schema import Rule, TableSchema
from atlas_assets.stages.setting import REFERENCE

#: global trades between two samples of the chain, and before the first one; of 106 circuits, 53
#: couples trade in each
GLOBAL_TRADES = 10
BURN_IN = 30
#: means this close are equal: they differ by rounding errors only
_ROUNDING_ERRORS = 1e-12

SCHEMA = TableSchema(
    columns=(
        col.concept("object", "concept"),
        col.KIND,
        col.LAYER,
        col.share("p_trim", "share of the most similar other concepts that is dropped"),
        col.share("observed_trimmed_jaccard", "mean Jaccard |A∩B| / |A∪B| to the other concepts"),
        col.share("null_mean", "mean of the same over the permutations"),
        col.mean("null_sd", "its standard deviation over the permutations"),
        col.share(
            "p_value",
            "(1 + #{null ≤ observed}) / (1 + permutations); small for a circuit that stands apart",
        ),
        col.count(
            "permutations",
            "randomised concepts × neurons matrices per layer; circuit sizes and the number of "
            "circuits each neuron is in are kept",
            minimum=1,
        ),
        col.count("seed", "seed of the randomisation"),
    ),
    key=("object", "layer", "p_trim"),
    rules=(Rule("p_value > 0", ("p_value",), pl.col("p_value") > 0),),
)


def permutation_null(universal: Masks, *, permutations: int, seed: int = 42) -> pl.DataFrame:
    """Return how modular every circuit is, against randomised circuits of the same margins.

    Args:
        universal: The universal masks.
        permutations: The number of randomised matrices per layer, ≥ 1, else a SettingsError; the
            smallest possible p-value is 1 / (1 + permutations).
        seed: The seed of the randomisation, ≥ 0. A layer's result depends on the seed and the
            layer's own number and masks only.

    Returns:
        Columns ``SCHEMA``; one row per layer and object, in that order. Nothing is trimmed or
        rounded, and the mean is float64 (the release's is float32). ``null_mean`` and ``null_sd``
        are over the permutations (divisor: their number). An empty circuit, one that contains every
        neuron in use, and a lone one have p = 1.
    """
    streams.require_between(permutations, 1, sys.maxsize, "permutations")
    kinds = [split_concept(name)[0] for name in universal.names]
    tables = [SCHEMA.polars.to_frame()]
    for layer in range(universal.n_layers):
        stream = streams.of_layer(seed, layer)
        observed, null = null_of_layer(universal.bits[:, layer], permutations, stream)
        at_most = np.count_nonzero(null <= observed + _ROUNDING_ERRORS, axis=0)
        columns = {
            "object": universal.names,
            "type": kinds,
            "layer": [layer] * len(kinds),
            "p_trim": [0.0] * len(kinds),
            "observed_trimmed_jaccard": observed,
            "null_mean": null.mean(axis=0),
            "null_sd": null.std(axis=0),
            "p_value": (1 + at_most) / (1 + permutations),
            "permutations": [permutations] * len(kinds),
            "seed": [seed] * len(kinds),
        }
        tables.append(pl.DataFrame(columns, schema=SCHEMA.polars))
    return pl.concat(tables)


def null_of_layer(
    bits: Bits, permutations: int, stream: np.random.Generator
) -> tuple[Reals, Reals]:
    """Return the mean Jaccard of one layer's circuits to the others, observed and under the null.

    From masks, bool ``[concepts, width]``: float64 ``[concepts]`` and ``[permutations, concepts]``.
    """
    # a neuron in no circuit stays in none and changes no similarity; it would only cost time
    bits = bits[:, bits.any(axis=0)]
    null = np.empty((permutations, len(bits)))
    samples = randomisations(bits, stream)
    for row, sample in zip(null, samples, strict=False):
        row[:] = _means_to_others(sample)
    return _means_to_others(bits), null


def _means_to_others(bits: Bits) -> Reals:
    """The mean Jaccard of each circuit to the others, float64 ``[concepts]``; 0 for a lone one."""
    if len(bits) < 2:
        return np.zeros(len(bits))
    # sorted, equal similarities in another order give an equal mean
    means: Reals = np.sort(similarities_to_others(bits), axis=1).mean(axis=1)
    return means


def randomisations(bits: Bits, stream: np.random.Generator) -> Iterator[Bits]:
    """Yield random matrices with the margins of ``bits``, without end.

    One chain: ``BURN_IN`` global trades before the first sample, ``GLOBAL_TRADES`` before each
    further one. Circuits that cannot change, being empty or full, stay out of the matching.

    Yields:
        The same array each time, to be copied if kept: bool ``[concepts, width]``, uniform over the
        matrices whose row sums and column sums are those of ``bits``, which is left as it is.
    """
    state = np.array(bits, dtype=np.bool_, order="C")
    sizes = np.count_nonzero(state, axis=1)
    traders = np.flatnonzero((sizes > 0) & (sizes < state.shape[1]))
    trades = BURN_IN
    while True:
        for _ in range(trades):
            _global_trade(state, traders, sizes, stream)
        yield state
        trades = GLOBAL_TRADES


def _global_trade(
    state: Bits,
    traders: npt.NDArray[np.intp],
    sizes: npt.NDArray[np.intp],
    stream: np.random.Generator,
) -> None:
    """Match the traders at random and let each couple trade, in place; an odd one sits out."""
    n_couples, width = len(traders) // 2, state.shape[1]
    left, right = stream.permutation(traders)[: 2 * n_couples].reshape(2, n_couples)
    couple, neuron = np.nonzero(state[left] ^ state[right])
    pooled = np.bincount(couple, minlength=n_couples)
    neuron = _shuffled_within(couple, neuron, n_couples, width, stream)
    # |left ∖ right| = (|pool| + |left| − |right|) / 2, and the sizes never change
    drawn = (pooled + sizes[left] - sizes[right]) // 2
    start = np.cumsum(pooled) - pooled
    to_left = np.arange(len(couple)) < (start + drawn)[couple]
    flat = state.reshape(-1)
    flat[left[couple] * width + neuron] = to_left
    flat[right[couple] * width + neuron] = ~to_left


def _shuffled_within(
    couple: npt.NDArray[np.intp],
    neuron: npt.NDArray[np.intp],
    n_couples: int,
    width: int,
    stream: np.random.Generator,
) -> npt.NDArray[np.intp]:
    """The neurons of each couple's pool in random order; ``couple`` is sorted and stays so."""
    # one sort shuffles all pools: a key is the couple, then random bits, then the neuron itself
    neuron_bits = max(1, (width - 1).bit_length())
    couple_bits = max(1, (n_couples - 1).bit_length())
    keys = stream.integers(0, 2**64, size=len(couple), dtype=np.uint64)
    keys >>= np.uint64(neuron_bits + couple_bits)
    keys <<= np.uint64(neuron_bits)
    keys |= couple.astype(np.uint64) << np.uint64(64 - couple_bits)
    keys |= neuron.astype(np.uint64)
    keys.sort()
    keys &= np.uint64((1 << neuron_bits) - 1)
    return keys.astype(np.intp)


MODULARITY_NULL = Artifact(
    key="modularity_null",
    title="Permutation null of modularity",
    filename="modularity_null.csv",
    content=SCHEMA,
    description="A second null for modularity: mean Jaccard of a circuit to the others, "
    "against randomised circuits (curveball trades) of the same sizes whose neurons are in as "
    "many circuits; p = (1 + #{null ≤ observed}) / (1 + permutations). At ε = 0.5, C = 0.8; "
    "ATLAS_PERMUTATIONS sets how many, seed 42.",
    compute=lambda making: permutation_null(
        making.universal(REFERENCE), permutations=making.settings.permutations
    ),
    inputs=("masks",),
    setting=REFERENCE,
    parameters={"permutations": 200},
)
