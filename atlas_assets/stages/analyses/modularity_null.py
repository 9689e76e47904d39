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

import math
import sys
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.errors import SettingsError
from atlas_assets.stages import columns as col
from atlas_assets.stages import streams
from atlas_assets.stages.artifact import Artifact
from atlas_assets.stages.concepts import split_concept
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.masks.similarity import jaccard
from atlas_assets.stages.schema import Rule, TableSchema
from atlas_assets.stages.setting import REFERENCE

#: global trades between two samples of the chain, and before the first one
GLOBAL_TRADES = 10
BURN_IN = 30
#: trimmed means this close are equal: they differ by rounding errors only
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
    rules=(
        Rule(
            "p_value > 0",
            ("p_value",),
            pl.col("p_value") > 0,
        ),
    ),
)

Bits = npt.NDArray[np.bool_]
Reals = npt.NDArray[np.float64]


def trades_per_permutation(n_circuits: int) -> int:
    """Curveball trades between two permutations: 530 for 106 circuits, ten for each of them.

    Args:
        n_circuits: circuits that can trade: neither empty nor of all neurons in use.
    """
    return GLOBAL_TRADES * (n_circuits // 2)


def permutation_null(
    universal: Masks, *, permutations: int, seed: int = 42, p_trim: float = 0.0
) -> pl.DataFrame:
    """How modular every circuit is, against randomised circuits of the same margins.

    Args:
        universal: universal masks of the concepts at one setting.
        permutations: randomised matrices per layer, ≥ 1; the smallest possible p-value is
            1 / (1 + permutations).
        seed: of the randomisation, ≥ 0. A layer's result depends on the seed and the layer's own
            number and masks only.
        p_trim: share of the most similar circuits that is dropped before the mean, in [0, 1).

    Returns:
        Columns ``SCHEMA``; one row per layer and object, in that order. Nothing is rounded, and the
        trimmed mean is float64 (the release's is float32). ``null_mean`` and ``null_sd`` are over
        the permutations (divisor: their number). p = (1 + #{null ≤ observed}) / (1 + permutations),
        small for a circuit that stands apart. An empty circuit, one that contains every neuron in
        use, and a lone one have p = 1.

    Raises:
        SettingsError: ``permutations``, ``seed`` or ``p_trim`` is out of range.
        StimulusError: a name is not that of a concept.
    """
    streams.require_between(permutations, 1, sys.maxsize, "permutations")
    _require_share(p_trim)
    kinds = [split_concept(name)[0] for name in universal.names]
    tables = [SCHEMA.polars.to_frame()]
    for layer in range(universal.n_layers):
        observed, null = null_of_layer(
            universal.bits[:, layer], permutations, streams.of_layer(seed, layer), p_trim
        )
        columns = {
            "object": universal.names,
            "type": kinds,
            "layer": [layer] * len(kinds),
            "p_trim": [p_trim] * len(kinds),
            "observed_trimmed_jaccard": observed,
            "null_mean": null.mean(axis=0),
            "null_sd": null.std(axis=0),
            "p_value": p_values(observed, null),
            "permutations": [permutations] * len(kinds),
            "seed": [seed] * len(kinds),
        }
        tables.append(pl.DataFrame(columns, schema=SCHEMA.polars))
    return pl.concat(tables)


def null_of_layer(
    bits: Bits, permutations: int, stream: np.random.Generator, p_trim: float
) -> tuple[Reals, Reals]:
    """Trimmed means of one layer, observed and under the null.

    Args:
        bits: bool ``[concepts, width]``.
        permutations: number of randomised matrices.
        stream: random numbers; drawn from.
        p_trim: share of the most similar circuits that is dropped.

    Returns:
        float64 ``[concepts]`` and float64 ``[permutations, concepts]``.
    """
    # a neuron in no circuit stays in none and changes no similarity; it would only cost time
    bits = bits[:, bits.any(axis=0)]
    null = np.empty((permutations, len(bits)))
    samples = randomisations(bits, stream)
    for row, sample in zip(null, samples, strict=False):
        row[:] = trimmed_means(sample, p_trim)
    return trimmed_means(bits, p_trim), null


def p_values(observed: Reals, null: Reals) -> Reals:
    """Lower-tailed p-values: (1 + #{null ≤ observed}) / (1 + permutations), in (0, 1].

    Args:
        observed: float64 ``[concepts]``.
        null: float64 ``[permutations, concepts]``.
    """
    at_most = np.count_nonzero(null <= observed + _ROUNDING_ERRORS, axis=0)
    shares: Reals = (1 + at_most) / (1 + len(null))
    return shares


def trimmed_means(bits: Bits, p_trim: float) -> Reals:
    """Mean Jaccard to the other circuits after dropping the floor(p_trim · others) largest.

    Args:
        bits: bool ``[concepts, width]``.
        p_trim: in [0, 1).

    Returns:
        float64 ``[concepts]``; 0 for a circuit without others. Equal similarities in another order
        give an equal mean.
    """
    n_others = len(bits) - 1
    if n_others < 1:
        return np.zeros(len(bits))
    itself = np.eye(len(bits), dtype=np.bool_)
    others = np.sort(jaccard(bits)[~itself].reshape(len(bits), n_others), axis=1)
    kept: Reals = others[:, : n_others - math.floor(p_trim * n_others)].mean(axis=1)
    return kept


def randomisations(bits: Bits, stream: np.random.Generator) -> Iterator[Bits]:
    """Random matrices with the margins of ``bits``, without end.

    One chain: ``BURN_IN`` global trades before the first sample, ``GLOBAL_TRADES`` before each
    further one. Circuits that cannot change, being empty or full, stay out of the matching.

    Args:
        bits: bool ``[concepts, width]``; left as it is.
        stream: random numbers; drawn from.

    Yields:
        The same array each time, to be copied if kept: bool ``[concepts, width]``, uniform over the
        matrices whose row sums and column sums are those of ``bits``.
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


def _require_share(p_trim: float) -> None:
    if not 0 <= p_trim < 1:
        raise SettingsError(
            "p_trim is out of range",
            where="p_trim",
            expected="a share in [0, 1)",
            found=repr(p_trim),
            remedy="correct the value; the published ones are 0, 0.05, 0.1 and 0.25",
        )


MODULARITY_NULL = Artifact(
    key="modularity_null",
    title="Permutation null of modularity",
    filename="modularity_null.csv",
    content=SCHEMA,
    group="stage_15_downstream",
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
