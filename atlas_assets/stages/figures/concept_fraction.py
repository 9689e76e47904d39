"""Concept fraction by layer and type: how much of a circuit its keyword does not account for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from atlas_assets.stages.concepts import kinds_of, split_concept
from atlas_assets.stages.decomposition.decomposition import parse_target_checker
from atlas_assets.stages.figures import style
from atlas_assets.stages.figures.caption import Caption
from atlas_assets.stages.making import Making
from atlas_assets.stages.rounding import Counts, Reals, fractions
from atlas_assets.stages.setting import REFERENCE

_NAMES = {"ast": "AST", "builtin": "builtins", "own": "concepts"}


def draw(table: pl.DataFrame, caption: Caption) -> Figure:
    """Draw the mean concept fraction of each type at each layer, from ``target_checker``.

    Means are lines with markers, the middle half of the concepts bands. Empty circuits count as 0,
    as in the published summary. A malformed table is an ArtifactError.
    """
    sizes, shares = _fractions(table)
    with style.paper():
        page = style.sheet(
            style.SINGLE_COLUMN,
            2.7,
            "Concept fraction by layer and type",
            caption,
            footnotes=_footnotes(sizes, shares),
            key_rows=1,
        )
        if not table.height:
            return page.saying("No concept of this grid\nhas a keyword to compare with.")
        axes = page.figure.subplots()
        for kind, of_kind in shares.items():
            if not len(of_kind):
                axes.plot([], [], linestyle="none", label=f"no {_NAMES[kind]} with a keyword")
                continue
            low, high = np.quantile(of_kind, [0.25, 0.75], axis=0)
            colour = style.KINDS[kind].colour
            axes.fill_between(range(len(low)), low, high, facecolor=colour, alpha=0.22, linewidth=0)
            label = f"{_NAMES[kind]} (n = {len(of_kind)})"
            style.draw_line(axes, kind, range(len(low)), of_kind.mean(axis=0), label)
        style.layer_axis(axes, sizes.shape[1])
        axes.set_ylim(-0.02, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
        axes.set_ylabel("concept fraction, |A ∖ B| / |A|")
        axes.grid(axis="y")
        return page.finished(axes.get_legend_handles_labels()[0], columns=2)


def _fractions(table: pl.DataFrame) -> tuple[Counts, Mapping[str, Reals]]:
    """The sizes of the circuits, and the concept fractions of each type: ``[concepts, layers]``."""
    cells = parse_target_checker(table)
    sizes = cells[..., 0] + cells[..., 1]
    shares = fractions(cells[..., 0], sizes)
    names = table["target"].to_list()
    kinds = np.array([split_concept(name)[0] for name in names], dtype=np.str_)
    return sizes, {kind: shares[kinds == kind] for kind in kinds_of(names)}


def _footnotes(sizes: Counts, shares: Mapping[str, Reals]) -> list[str]:
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
    """Return the mean concept fraction of each type in words, layer by layer."""
    means = {
        kind: [f"{mean:.1%}" for mean in of_kind.mean(axis=0)]
        for kind, of_kind in _fractions(table)[1].items()
        if len(of_kind)
    }
    opening = "Line plot of mean concept fraction by layer, from layer 0."
    return style.lines_in_words(opening, means)


def make(making: Making) -> tuple[list[Figure], str]:
    """Make the figure of the reference setting, and what it shows in words."""
    table = making.read("target_checker", REFERENCE)
    return [draw(table, making.caption("target_checker", REFERENCE))], in_words(table)
