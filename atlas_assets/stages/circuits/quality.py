"""Every yardstick of every concept, and what they come to per definition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from atlas_assets.stages import columns as col
from atlas_assets.stages import streams
from atlas_assets.stages.circuits import statistics
from atlas_assets.stages.circuits.effects import Effect, Effects
from atlas_assets.stages.circuits.identification import Identified
from atlas_assets.stages.concepts import split_concept
from atlas_assets.stages.masks.masks import Bits, Masks
from atlas_assets.stages.rounding import Reals
from atlas_assets.stages.schema import Column, TableSchema

#: own prompts of a concept that its p-value and its intervals take
LEAST_PROMPTS = 20
#: (pair, domain) of these that its intervals take: resamples of fewer are too alike
LEAST_CLUSTERS = 5
#: a neuron is of the core where at least this share of all circuits hold it, in tenths
CORE_TENTHS = 9
TYPES = ("ast", "builtin", "all")
#: the measures of ablation that have an interval
MEASURED = ("necessity", "specificity", "over_matched")


def _number(name: str, description: str) -> Column:
    return Column(name, pl.Float64(), description, nullable=True)


def _with_interval(name: str, description: str) -> tuple[Column, ...]:
    return (
        _number(name, description),
        _number(f"{name}_low", f"2.5th percentile of {name} over resamples of (pair, domain)"),
        _number(f"{name}_high", f"97.5th percentile of {name} over resamples of (pair, domain)"),
    )


#: what a leaderboard averages beside the share identified
_BESIDE = ("identification_rank", "chance_top1", "centroid_top1", "token_top1", "split_half")
_EFFECTS = (
    *_with_interval("necessity", "ΔL of ablating the circuit on own prompts, nats per token"),
    *_with_interval(
        "specificity",
        "necessity less the mean ΔL on prompts of other concepts, which may use this one as well",
    ),
    *_with_interval(
        "over_matched",
        "necessity less the mean ΔL of matched controls; none known of matched circuits, which are "
        "controls themselves, nor of a circuit of more than half of a layer, whose controls are "
        "smaller",
    ),
)
_MATCHED_RATIO = _number(
    "matched_ratio",
    "mean |readout| of the neurons of the first matched control over that of the circuit's",
)
_FAITHFULNESS = (
    _number(
        "faithfulness_own",
        "1 − ΔL(all but the circuit) / ΔL(all MLPs), each a mean over the concept's own prompts; "
        "of several concepts, the mean of their ratios",
    ),
    _number("faithfulness_other", "the same on prompts of other concepts"),
    _number("cpr", "area under faithfulness over the share of neurons that is kept"),
    _number("cmd", "area of |1 − faithfulness| over that share"),
)
QUALITY = TableSchema(
    columns=(
        col.text("definition", "definition of a circuit"),
        col.concept("concept", "concept"),
        col.KIND,
        col.count("size", "neurons of the circuit, all layers"),
        col.count("core", "of these, neurons that at least 90% of the circuits hold"),
        col.share(
            "identification_top1",
            "share of its pairs that rank it first, on prompts of other subject areas",
            nullable=True,
        ),
        col.rank("identification_rank", "its mean rank among the concepts of its type, 1 best"),
        col.share("chance_top1", "the share that rank it first by chance", nullable=True),
        col.share("centroid_top1", "the share by nearest centroid", nullable=True),
        col.share("token_top1", "the share by the read token's id alone", nullable=True),
        col.share("split_half", "Jaccard of its circuits from two halves", nullable=True),
        col.share("null_p", "p-value of its size among circuits of random pairs", nullable=True),
        col.share(
            "null_q", "null_p after Benjamini and Hochberg, over the concepts", nullable=True
        ),
        *_EFFECTS,
        _MATCHED_RATIO,
        col.share(
            "p_value",
            "p-value of over_matched, among what the matched controls of all concepts cost more "
            "than each other; of 20 prompts and more",
            nullable=True,
        ),
        col.share("q_value", "p_value after Benjamini and Hochberg", nullable=True),
        *_FAITHFULNESS,
        col.count(
            "n_prompts",
            "own prompts that were run with its circuit ablated; its intervals take 20 of them",
        ),
        col.count(
            "n_clusters", "different (pair, domain) of these prompts; its intervals take 5 of them"
        ),
    ),
    key=("definition", "concept"),
    series=Column("L", pl.Int64(), "neurons of the circuit in layer {}", minimum=0),
    may_be_empty=False,
)
LEADERBOARD = TableSchema(
    columns=(
        col.text("definition", "definition of a circuit"),
        Column("type", pl.String(), "ast, builtin, or all", allowed=TYPES),
        col.mean("size", "mean neurons of a circuit, all layers"),
        col.mean("core", "neurons in at least 90% of the circuits of the type, all layers"),
        col.count("distinct_min", "different circuits in the layer that has fewest"),
        col.mean("entropy", "mean over layers of −Σ p log2 p over the different circuits, bits"),
        col.share(
            "identification_top1",
            "share of a concept's pairs ranked first, on prompts of other subject areas; on "
            "average over concepts",
            nullable=True,
        ),
        _number("identification_top1_low", "its 2.5th percentile over resamples of concepts"),
        _number("identification_top1_high", "its 97.5th percentile over resamples of concepts"),
        col.rank("identification_rank", "mean rank among the concepts of the type, 1 best"),
        col.share("chance_top1", "mean share ranked first by chance", nullable=True),
        col.share("centroid_top1", "mean share by nearest centroid", nullable=True),
        col.share("token_top1", "mean share by the read token's id alone", nullable=True),
        col.share("split_half", "mean Jaccard of circuits from two halves", nullable=True),
        *_EFFECTS,
        _MATCHED_RATIO,
        *_FAITHFULNESS,
        col.count("n_concepts", "concepts"),
        Column(
            "n_significant",
            pl.Int64(),
            "of these, q_value of over_matched below 0.05; none known of the sample",
            nullable=True,
            minimum=0,
        ),
    ),
    key=("definition", "type"),
    may_be_empty=False,
)


@dataclass(frozen=True, eq=False)
class Judged:
    """All that is known of the circuits of one definition; what is not is absent.

    Attributes:
        definition: The definition.
        circuits: Its circuits.
        identified: How well each concept is told from the others, by concept.
        centroid: The same for the nearest centroid.
        token: The same for the id of the read token.
        split_half: The Jaccard similarity of each concept's circuits from two halves, by concept.
        null: The p-value and the q-value of each circuit's size, by concept.
        matched_ratio: How strong the control of each circuit is, by concept.
        effects: What ablation shows of them.
        n_prompts: int64 ``[concepts]``, own prompts that were run.
    """

    definition: str
    circuits: Masks
    identified: Mapping[str, Identified]
    centroid: Mapping[str, Identified]
    token: Mapping[str, Identified]
    split_half: Mapping[str, float]
    null: Mapping[str, tuple[float, float]]
    matched_ratio: Mapping[str, float]
    effects: Effects | None
    n_prompts: Mapping[str, int]


def quality(judged: Judged) -> pl.DataFrame:
    """Return every yardstick of every concept: columns ``QUALITY``, sorted by concept."""
    circuits, names = judged.circuits, judged.circuits.names
    core = core_of(circuits.bits)
    identified = [judged.identified.get(name) for name in names]
    columns: dict[str, object] = {
        "definition": [judged.definition] * len(names),
        "concept": names,
        "type": [split_concept(name)[0] for name in names],
        "size": circuits.sizes().sum(axis=1),
        "core": np.count_nonzero(circuits.bits & core, axis=(1, 2)),
        "identification_top1": _top1(judged.identified, names),
        "identification_rank": [found and found.rank for found in identified],
        "chance_top1": [found and 1 / found.n for found in identified],
        "centroid_top1": _top1(judged.centroid, names),
        "token_top1": _top1(judged.token, names),
        "split_half": [judged.split_half.get(name) for name in names],
        "null_p": [judged.null.get(name, (None, None))[0] for name in names],
        "null_q": [judged.null.get(name, (None, None))[1] for name in names],
        "matched_ratio": [judged.matched_ratio.get(name) for name in names],
        **_effect_columns(judged, names),
        "n_prompts": [judged.n_prompts.get(name, 0) for name in names],
        **{f"L{layer}": sizes for layer, sizes in enumerate(circuits.sizes().T)},
    }
    declared = {column.name: column.dtype for column in QUALITY.declared(list(columns))}
    return pl.DataFrame(columns, schema=declared, nan_to_null=True, strict=False)


def _top1(found: Mapping[str, Identified], names: tuple[str, ...]) -> list[float | None]:
    return [one.top1 if (one := found.get(name)) else None for name in names]


def _effect_columns(judged: Judged, names: tuple[str, ...]) -> dict[str, object]:
    effects, n = judged.effects, len(names)
    if effects is None:
        empty = [column.name for column in (*_EFFECTS, *_FAITHFULNESS)]
        unknown = {name: [None] * n for name in (*empty, "p_value", "q_value")}
        return {**unknown, "n_clusters": [0] * n}
    columns: dict[str, object] = {"n_clusters": effects.clusters}
    enough = np.array([judged.n_prompts.get(name, 0) for name in names]) >= LEAST_PROMPTS
    with_interval = enough & (effects.clusters >= LEAST_CLUSTERS)
    for name in MEASURED:
        effect: Effect = getattr(effects, name)
        low, high = statistics.interval(effect.draws)
        known = with_interval & ~np.isnan(effect.values)
        columns |= {
            name: effect.values,
            f"{name}_low": np.where(known, low, np.nan),
            f"{name}_high": np.where(known, high, np.nan),
        }
    tested = judged.circuits.bits.any(axis=(1, 2)) & enough
    excess = np.where(tested, effects.over_matched.values, np.nan)
    p_values = statistics.p_above_controls(excess, effects.controls)
    q_values, known = np.full(n, np.nan), ~np.isnan(p_values)
    q_values[known] = statistics.benjamini_hochberg(p_values[known])
    columns |= {"p_value": p_values, "q_value": q_values}
    columns |= {column.name: getattr(effects, column.name) for column in _FAITHFULNESS}
    return columns


def core_of(bits: Bits) -> Bits:
    """Return the neurons that at least 90% of the circuits hold: bool ``[layers, width]``."""
    held: Bits = bits.sum(axis=0, dtype=np.int64) * 10 >= len(bits) * CORE_TENTHS
    return held


def leaderboard(
    circuits: Masks, effects: Effects | None, table: pl.DataFrame, *, of_some: bool = False
) -> pl.DataFrame:
    """Return what the yardsticks of one definition come to: columns ``LEADERBOARD``.

    It has a row for each type of which there are concepts, and one for all.

    Args:
        circuits: The circuits of the definition.
        effects: What ablation shows of them.
        table: The rows of the definition of `quality`, sorted by concept.
        of_some: Whether the definition speaks of some concepts only, those that have a neuron: the
            others are left out, and not taken for circuits that cost nothing.
    """
    kinds = np.array(table["type"].to_list())
    spoken_of = circuits.bits.any(axis=(1, 2)) | (not of_some)
    rows = []
    for kind in TYPES:
        chosen = np.flatnonzero(((kinds == kind) | (kind == "all")) & spoken_of)
        if len(chosen):
            of_kind = Masks(tuple(table["concept"][chosen]), circuits.bits[chosen])
            rows.append(_row(of_kind, effects, table[chosen], chosen, kind))
    return pl.DataFrame(rows, schema=LEADERBOARD.polars, orient="row")


def _row(
    circuits: Masks,
    effects: Effects | None,
    table: pl.DataFrame,
    chosen: statistics.Indices,
    kind: str,
) -> list[object]:
    n_different, bits_of_entropy = _different(circuits.bits)
    row: list[object] = [table["definition"][0], kind, table["size"].mean()]
    row += [int(core_of(circuits.bits).sum()), min(n_different), float(np.mean(bits_of_entropy))]
    row += [table["identification_top1"].mean(), *_over_concepts(table["identification_top1"])]
    row += [table[name].mean() for name in _BESIDE]
    for name in MEASURED:
        row += _mean_with_interval(effects, name, chosen)
    row += [table[column.name].mean() for column in (_MATCHED_RATIO, *_FAITHFULNESS)]
    significant = table.filter(pl.col("q_value") < statistics.LEVEL).height
    tested = not table["q_value"].is_null().all()
    return [*row, table.height, significant if tested else None]


def _over_concepts(shares: pl.Series) -> list[float | None]:
    """Return the 95% interval of the mean over concepts, which are resampled."""
    known = shares.drop_nulls().to_numpy()
    if len(known) < LEAST_CLUSTERS:
        return [None, None]
    stream = streams.of_layer(42, 0)
    drawn = stream.integers(0, len(known), size=(statistics.DRAWS, len(known)))
    low, high = statistics.interval(known[drawn].mean(axis=1))
    return [float(low), float(high)]


def _different(bits: Bits) -> tuple[list[int], list[float]]:
    """Return how many different circuits each layer has, and the entropy in bits of which one."""
    numbers, entropies = [], []
    for layer in range(bits.shape[1]):
        repeats = np.unique(bits[:, layer], axis=0, return_counts=True)[1]
        shares = np.sort(repeats) / len(bits)
        numbers.append(len(repeats))
        entropies.append(float(np.abs(np.sum(shares * np.log2(shares)))))
    return numbers, entropies


def _mean_with_interval(
    effects: Effects | None, name: str, chosen: statistics.Indices
) -> list[float | None]:
    if effects is None:
        return [None] * 3
    effect: Effect = getattr(effects, name)
    values, draws = effect.values[chosen], effect.draws[chosen]
    known = ~np.isnan(values)
    if not known.any():
        return [None] * 3
    sums = np.nansum(draws[known], axis=0)
    counts = np.count_nonzero(~np.isnan(draws[known]), axis=0)
    means: Reals = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    low, high = statistics.interval(means)
    return [float(values[known].mean()), float(low), float(high)]
