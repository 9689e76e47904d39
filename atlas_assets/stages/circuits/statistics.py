"""Bootstrap over clusters of prompts, and the control of false discoveries."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from atlas_assets.stages.rounding import Reals

Indices = npt.NDArray[np.int64]
#: resamples of a bootstrap, and random draws of a null
DRAWS = 999
#: the share of false discoveries up to which a difference is called significant
LEVEL = 0.05


def cluster_weights(n_clusters: int, draws: int, stream: np.random.Generator) -> Reals:
    """Return how often each resample holds each cluster: float64 ``[draws, n_clusters]``.

    Clusters are drawn with replacement, as many as there are.
    """
    even = np.full(n_clusters, 1 / n_clusters)
    return stream.multinomial(n_clusters, even, size=draws).astype(np.float64)


def group_means(
    values: Reals, groups: Indices, clusters: Indices, n_groups: int, weights: Reals
) -> Reals:
    """Return the mean of each group's values in every resample: float64 ``[groups, draws]``.

    Args:
        values: float64 ``[rows]``.
        groups: int64 ``[rows]``, the group of each value, below ``n_groups``.
        clusters: int64 ``[rows]``, the cluster of each value.
        n_groups: The number of groups.
        weights: ``[draws, clusters]``, as `cluster_weights` gives them; ``[1, clusters]`` of ones
            for the means themselves.

    Returns:
        NaN where a resample holds no value of a group.
    """
    shape = (n_groups, weights.shape[1])
    sums, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, (groups, clusters), values)
    np.add.at(counts, (groups, clusters), 1.0)
    with np.errstate(invalid="ignore"):
        means: Reals = (sums @ weights.T) / (counts @ weights.T)
    return means


def interval(draws: Reals) -> tuple[Reals, Reals]:
    """Return the 2.5th and 97.5th percentiles along the last axis, leaving out NaN.

    Both are NaN where there is nothing else.
    """
    known = np.isfinite(draws)
    safe = np.where(known.any(axis=-1, keepdims=True), draws, 0.0)
    low, high = np.nanpercentile(safe, [2.5, 97.5], axis=-1)
    unknown = ~known.any(axis=-1)
    return np.where(unknown, np.nan, low), np.where(unknown, np.nan, high)


def p_above_controls(excess: Reals, controls: Reals) -> Reals:
    """Return one-sided p-values of what exceeds the mean of its controls: (1 + #null) / (1 + n).

    The null is by how much each control exceeds the mean of the others of its group. It is taken
    together over all groups, for a group has too few controls to tell how far they scatter.

    Args:
        excess: float64 ``[groups]``, a value less the mean of its controls.
        controls: float64 ``[controls, groups]``, their values; with fewer than two of them, and
            where something is NaN, the p-value is NaN.
    """
    n = len(controls)
    if n < 2:
        return np.full(len(excess), np.nan)
    over_others = controls - (controls.sum(axis=0) - controls) / (n - 1)
    known = np.isfinite(excess) & np.isfinite(over_others).all(axis=0)
    null = over_others[:, known].ravel()
    reached = np.count_nonzero(null >= excess[:, np.newaxis], axis=1)
    return np.where(known, (1 + reached) / (1 + len(null)), np.nan)


def benjamini_hochberg(p_values: Reals) -> Reals:
    """Return q-values (Benjamini and Hochberg 1995): the least rate at which each is rejected.

    Both are float64 ``[tests]``.
    """
    n = len(p_values)
    order = np.argsort(p_values, kind="stable")[::-1]
    scaled = p_values[order] * n / np.arange(n, 0, -1)
    found = np.empty(n)
    found[order] = np.minimum(np.minimum.accumulate(scaled), 1.0)
    return np.maximum(found, p_values)  # p · n / n may be less than p by rounding
