"""Layer profile: how large circuits are at each layer, for pairs, AST nodes and builtins."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from atlas_assets.stages.figures import style, words
from atlas_assets.stages.figures.caption import Caption
from atlas_assets.stages.figures.drawing import Drawing
from atlas_assets.stages.figures.render import drawing
from atlas_assets.stages.making import Making
from atlas_assets.stages.setting import STANDALONE

_ORDER = ("pair", "ast", "builtin")
_NAMES = {"pair": "pairs", "ast": "AST nodes", "builtin": "builtins"}
#: how far apart the three ranges of a layer stand
_DODGE = 0.2


def draw(profile: pl.DataFrame, caption: Caption) -> Figure:
    """Mean sizes as lines, and medians with their ranges beside them.

    Args:
        profile: columns layer, type, n, mean_size, median_size, min_size, max_size
            (``layer_profile.profile``), one setting.
        caption: what the table was computed on.

    Returns:
        A double-column figure of two panels.
    """
    with style.paper():
        page = style.sheet(
            style.DOUBLE_COLUMN,
            2.3,
            "Layer profile of circuit sizes",
            caption,
            footnotes=("Circuits of AST nodes and builtins are universal circuits.",),
            key_rows=1,
        )
        if not profile.height:
            style.say(page.figure.subplots(), "The profile has no rows.")
            return style.settle(page.figure)
        means, ranges = page.figure.subplots(1, 2)
        for i, kind in enumerate(_ORDER):
            rows = profile.filter(type=kind).sort("layer")
            _draw_means(means, rows, kind)
            _draw_ranges(ranges, rows, kind, (i - 1) * _DODGE)
        n_layers = int(profile["layer"].to_numpy().max()) + 1
        for axes, title in ((means, "mean"), (ranges, "median, smallest and largest")):
            axes.set_title(title, loc="left", fontweight="bold")
            style.layer_axis(axes, n_layers)
            axes.set_ylim(bottom=0, top=None if axes.get_ylim()[1] > 0.5 else 1)
            axes.set_ylabel("circuit size, neurons")
            axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
            axes.grid(axis="y")
        page.add_key(means.get_legend_handles_labels()[0], columns=3)
        return style.settle(page.figure)


def _draw_means(axes: Axes, rows: pl.DataFrame, kind: str) -> None:
    look = style.KINDS[kind]
    if not rows.height:
        axes.plot([], [], linestyle="none", label=f"no {_NAMES[kind]}")
        return
    axes.plot(
        rows["layer"].to_numpy(),
        rows["mean_size"].to_numpy(),
        color=look.colour,
        marker=look.marker,
        linestyle=look.line,
        markeredgecolor=style.BLACK,
        markeredgewidth=0.4,
        label=f"{_NAMES[kind]} (n = {rows['n'].to_numpy().max():,})",
    )


def _draw_ranges(axes: Axes, rows: pl.DataFrame, kind: str, offset: float) -> None:
    if not rows.height:
        return
    look = style.KINDS[kind]
    at = rows["layer"].to_numpy() + offset
    low, middle, high = (
        rows[column].to_numpy().astype(np.float64)
        for column in ("min_size", "median_size", "max_size")
    )
    axes.vlines(at, low, high, colors=look.colour, linewidth=1.3)
    axes.plot(
        at,
        middle,
        linestyle="none",
        marker=look.marker,
        color=look.colour,
        markeredgecolor=style.BLACK,
        markeredgewidth=0.4,
    )


def in_words(profile: pl.DataFrame) -> str:
    """Mean size of each type, layer by layer."""
    lines = []
    for kind, name in words.TYPE_NAMES.items():
        means = profile.filter(type=kind).sort("layer")["mean_size"].to_list()
        if means:
            lines.append(f"{name}: {words.listed(f'{mean:.1f}' for mean in means)}")
    return words.sentences("Line plot of mean circuit size in neurons, from layer 0.", *lines)


def make(making: Making) -> Drawing:
    """The artifact: circuit sizes at ε = 0.001, C = 0.8."""
    making.require_in_sweep(STANDALONE)
    table = making.read("layer_profile")
    sheet = draw(table, making.caption("layer_profile", STANDALONE))
    return drawing([sheet], in_words(table))
