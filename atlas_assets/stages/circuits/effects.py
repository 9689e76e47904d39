"""What ablating a circuit does, from the losses of single prompts, with bootstrap intervals.

With ΔL(c | prompts) the mean rise of the loss when the neurons of circuit c are put to their means,
in nats per token::

    necessity       N_c = ΔL(c | own prompts)
    specificity     S_c = N_c − ΔL(c | prompts of other concepts)
    over matched    M_c = N_c − mean over controls of ΔL(control | own prompts)
    faithfulness    F_c = 1 − ΔL(all but c | prompts) / ΔL(all | prompts)

CPR and CMD are the areas under F and under |1 − F| over the share of neurons that is kept, by the
trapezoidal rule over 0.1% to 100% (MIB benchmark, circuit track); with all neurons kept F is 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.stages import streams
from atlas_assets.stages.circuits import statistics
from atlas_assets.stages.circuits.ablation import CURVE
from atlas_assets.stages.rounding import Reals


@dataclass(frozen=True, eq=False)
class Effect:
    """A difference of mean losses of every concept, and of every resample of the prompts.

    Attributes:
        values: float64 ``[concepts]``, nats per token; NaN where it was not measured.
        draws: float64 ``[concepts, draws]``, the same over resamples of (pair, domain).
    """

    values: Reals
    draws: Reals


@dataclass(frozen=True, eq=False)
class Effects:
    """What ablation shows of the circuits of one definition; arrays are float64 ``[concepts]``.

    Attributes:
        clusters: int64, (pair, domain) of the own prompts.
        controls: float64 ``[controls, concepts]``, ΔL of each matched control on own prompts.
    """

    clusters: statistics.Indices
    controls: Reals
    necessity: Effect
    specificity: Effect
    over_matched: Effect
    faithfulness_own: Reals
    faithfulness_other: Reals
    cpr: Reals
    cmd: Reals

    def without_controls(self, of: npt.NDArray[np.bool_] | None = None) -> Effects:
        """Return the same with nothing known of what exceeds matched controls.

        Args:
            of: bool ``[concepts]``, the concepts of which that is unknown; ``None`` for all.
        """
        values, draws = self.over_matched.values, self.over_matched.draws
        lacking = np.ones(len(values), dtype=np.bool_) if of is None else of
        unknown = Effect(
            np.where(lacking, np.nan, values), np.where(lacking[:, np.newaxis], np.nan, draws)
        )
        return replace(self, over_matched=unknown)


def effects(
    losses: pl.DataFrame,
    concepts: tuple[str, ...],
    *,
    draws: int = statistics.DRAWS,
    seed: int = 42,
) -> Effects:
    """Return the effects of the circuits of one definition.

    Args:
        losses: Rows of one definition, of the columns of `ablation.SCHEMA`.
        concepts: The concepts, sorted; those without rows have NaN.
        draws: The resamples of all (pair, domain) clusters.
        seed: The seed of the resamples.
    """
    number = {concept: place for place, concept in enumerate(concepts)}
    rows = losses.with_columns(
        place=pl.col("concept").replace_strict(number, return_dtype=pl.Int64),
        cluster=pl.struct("pair", "domain").rank("dense").cast(pl.Int64) - 1,
        is_own=pl.col("concept") == pl.col("prompts_of"),
        rise=pl.col("loss") - pl.col("whole"),
        whole_rise=pl.col("none") - pl.col("whole"),
    )
    n_clusters = int(rows["cluster"].max()) + 1 if rows.height else 1  # type: ignore[arg-type]
    stream = streams.of_layer(seed, 0)
    resamples = statistics.cluster_weights(n_clusters, draws, stream)
    weights = np.concatenate([np.ones((1, n_clusters)), resamples])

    def rise(some: pl.DataFrame, column: str = "rise", weights: Reals = weights) -> Reals:
        if not some.height:
            return np.full((len(concepts), len(weights)), np.nan)
        return statistics.group_means(
            some[column].to_numpy(),
            some["place"].to_numpy(),
            some["cluster"].to_numpy(),
            len(concepts),
            weights,
        )

    def faithfulness(some: pl.DataFrame) -> Reals:
        """1 − ΔL(kept) / ΔL(nothing kept), of the prompts as they are."""
        kept, nothing = (rise(some, name, weights[:1])[:, 0] for name in ("rise", "whole_rise"))
        with np.errstate(invalid="ignore", divide="ignore"):
            found = 1 - kept / nothing
        return np.where(np.isfinite(found), found, np.nan)

    ablated = rows.filter(pl.col("condition") == "ablate")
    own = rise(ablated.filter("is_own"))
    others = rise(ablated.filter(~pl.col("is_own")))
    controlled = rows.filter(pl.col("condition").str.starts_with("matched"))
    # the circuit on the very prompts that its controls were run on
    compared = ablated.join(controlled, on=("concept", "prompt"), how="semi")
    kept = rows.filter(pl.col("condition") == "keep")
    conditions = controlled["condition"].unique().sort()
    controls = [
        rise(controlled.filter(pl.col("condition") == each), weights=weights[:1])[:, 0]
        for each in conditions
    ]
    clusters = np.zeros(len(concepts), dtype=np.int64)
    of_own = ablated.filter("is_own").group_by("place").agg(pl.col("cluster").n_unique())
    clusters[of_own["place"].to_numpy()] = of_own["cluster"].to_numpy()
    curve = [faithfulness(rows.filter(pl.col("condition") == f"keep {share:g}")) for share in CURVE]
    faithful = np.stack([*curve, np.where(np.isnan(curve[0]), np.nan, 1.0)])
    shares = np.array([*CURVE, 1.0])
    return Effects(
        clusters,
        np.array(controls).reshape(len(controls), len(concepts)),
        _effect(own),
        _effect(own - others),
        _effect(rise(compared) - rise(controlled)),
        faithfulness(kept.filter("is_own")),
        faithfulness(kept.filter(~pl.col("is_own"))),
        np.trapezoid(faithful, shares, axis=0),
        np.trapezoid(np.abs(1 - faithful), shares, axis=0),
    )


def _effect(means: Reals) -> Effect:
    return Effect(means[:, 0], means[:, 1:])


def matrix(losses: pl.DataFrame) -> pl.DataFrame:
    """Return the mean rise of the loss of each concept's prompts under each concept's ablation.

    Columns are ``definition``, ``concept`` (whose circuit is ablated), ``prompts_of``, ``rise``
    (nats per token) and ``n_prompts``, sorted.
    """
    key = ("definition", "concept", "prompts_of")
    ablated = losses.filter(pl.col("condition") == "ablate")
    rise = (pl.col("loss") - pl.col("whole")).mean().alias("rise")
    return (
        ablated.group_by(key)
        .agg(rise, pl.len().cast(pl.Int64).alias("n_prompts"))
        .sort(key)
        .select(*key, "rise", "n_prompts")
    )
