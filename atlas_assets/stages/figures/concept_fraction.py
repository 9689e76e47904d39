"""Concept fraction by layer and type: how much of a circuit its keyword does not account for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from atlas_assets.stages.concepts import split_concept
from atlas_assets.stages.decomposition.decomposition import parse_target_checker
from atlas_assets.stages.figures import style, words
from atlas_assets.stages.figures.caption import Caption
from atlas_assets.stages.figures.drawing import Drawing
from atlas_assets.stages.figures.render import drawing
from atlas_assets.stages.making import Making
from atlas_assets.stages.rounding import fractions
from atlas_assets.stages.setting import REFERENCE

Reals = npt.NDArray[np.float64]

_NAMES = {"ast": "AST", "builtin": "builtins"}


def draw(table: pl.DataFrame, caption: Caption) -> Figure:
    """Mean concept fraction of the AST and of the builtin circuits at each layer.

    Args:
        table: the ``target_checker`` table of one setting (docs/science.md §4).
        caption: what the table was computed on.

    Returns:
        A single-column figure: means as lines with markers, the middle half of the concepts as
        bands. Empty circuits count as 0, as in the published summary.

    Raises:
        ArtifactError: the table is malformed.
    """
    cells = parse_target_checker(table)
    concept_only, shared = cells[..., 0], cells[..., 1]
    shares = fractions(concept_only, concept_only + shared)
    kinds = np.array([split_concept(name)[0] for name in table["target"].to_list()], dtype=np.str_)
    by_kind = {kind: shares[kinds == kind] for kind in _NAMES}
    with style.paper():
        page = style.sheet(
            style.SINGLE_COLUMN,
            2.7,
            "Concept fraction by layer and type",
            caption,
            footnotes=_footnotes(concept_only + shared, by_kind),
            key_rows=1,
        )
        axes = page.figure.subplots()
        if not table.height:
            style.say(axes, "No concept of this grid\nhas a keyword to compare with.")
            return style.settle(page.figure)
        for kind, of_kind in by_kind.items():
            _draw_kind(axes, of_kind, kind)
        style.layer_axis(axes, shares.shape[1])
        axes.set_ylim(-0.02, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
        axes.set_ylabel("concept fraction, |A ∖ B| / |A|")
        axes.grid(axis="y")
        page.add_key(axes.get_legend_handles_labels()[0], columns=2)
        return style.settle(page.figure)


def _draw_kind(axes: Axes, shares: Reals, kind: str) -> None:
    look = style.KINDS[kind]
    if not len(shares):
        axes.plot([], [], linestyle="none", label=f"no {_NAMES[kind]} with a keyword")
        return
    layers = np.arange(shares.shape[1])
    means = shares.mean(axis=0)
    low, high = np.quantile(shares, [0.25, 0.75], axis=0)
    axes.fill_between(
        layers,
        low,
        high,
        facecolor=look.colour,
        alpha=0.22,
        linewidth=0,
    )
    axes.plot(
        layers,
        means,
        color=look.colour,
        marker=look.marker,
        linestyle=look.line,
        markeredgecolor=style.BLACK,
        markeredgewidth=0.4,
        label=f"{_NAMES[kind]} (n = {len(shares)})",
    )


def _footnotes(sizes: npt.NDArray[np.int64], shares: Mapping[str, Reals]) -> list[str]:
    if not sizes.size:
        return []
    peaks = []
    for kind, of_kind in shares.items():
        if len(of_kind):
            means = of_kind.mean(axis=0)
            layer = int(np.argmax(means))
            peaks.append(f"{_NAMES[kind]} {means[layer]:.1%} at layer {layer}")
    notes = [
        "Lines: means over concepts. Bands: the middle half of the concepts.",
        f"Highest means: {', '.join(peaks)}.",
    ]
    empty = int(np.count_nonzero(sizes == 0))
    if empty:
        notes.append(f"{empty} of {sizes.size} circuits are empty and count as 0.")
    return notes


def in_words(table: pl.DataFrame) -> str:
    """Mean concept fraction of each type, layer by layer (``target_checker`` of one setting)."""
    cells = parse_target_checker(table)
    shares = fractions(cells[..., 0], cells[..., 0] + cells[..., 1])
    kinds = np.array([split_concept(name)[0] for name in table["target"].to_list()], dtype=np.str_)
    lines = []
    for kind in ("ast", "builtin"):
        if (kinds == kind).any():
            means = shares[kinds == kind].mean(axis=0)
            listed = words.listed(f"{mean:.1%}" for mean in means)
            lines.append(f"{words.TYPE_NAMES[kind]}: {listed}")
    return words.sentences("Line plot of mean concept fraction by layer, from layer 0.", *lines)


def make(making: Making) -> Drawing:
    """The artifact: the concept fractions of the reference setting."""
    making.require_in_sweep(REFERENCE)
    table = making.read("target_checker", REFERENCE)
    sheet = draw(table, making.caption("target_checker", REFERENCE))
    return drawing([sheet], in_words(table))
