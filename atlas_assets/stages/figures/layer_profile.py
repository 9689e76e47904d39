"""Layer profile: how large circuits are at each layer, for pairs, AST nodes and builtins."""

from __future__ import annotations

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from atlas_assets.stages.figures import style
from atlas_assets.stages.figures.caption import Caption
from atlas_assets.stages.making import Making
from atlas_assets.stages.setting import STANDALONE

#: how far apart the three ranges of a layer stand
_DODGE = 0.2


def draw(profile: pl.DataFrame, caption: Caption) -> Figure:
    """Draw the mean sizes of ``layer_profile`` as lines, and beside them medians with ranges."""
    kinds = _kinds(profile)
    plurals = " and ".join(style.KINDS[kind].plural for kind in kinds[1:])
    with style.paper():
        page = style.sheet(
            style.DOUBLE_COLUMN,
            2.3,
            "Layer profile of circuit sizes",
            caption,
            footnotes=(f"Circuits of {plurals} are universal circuits.",),
            key_rows=1,
        )
        if not profile.height:
            return page.saying("The profile has no rows.")
        means, ranges = page.figure.subplots(1, 2)
        for i, kind in enumerate(kinds):
            look = style.KINDS[kind]
            rows = profile.filter(type=kind).sort("layer")
            if not rows.height:
                means.plot([], [], linestyle="none", label=f"no {look.plural}")
                continue
            label = f"{look.plural} (n = {rows['n'].to_numpy().max():,})"
            style.draw_line(means, kind, rows["layer"].to_numpy(), rows["mean_size"], label)
            _draw_ranges(ranges, rows, look, (i - 1) * _DODGE)
        n_layers = int(profile["layer"].to_numpy().max()) + 1
        for axes, title in ((means, "mean"), (ranges, "median, smallest and largest")):
            axes.set_title(title, loc="left", fontweight="bold")
            style.layer_axis(axes, n_layers)
            axes.set_ylim(bottom=0, top=None if axes.get_ylim()[1] > 0.5 else 1)
            axes.set_ylabel("circuit size, neurons")
            axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
            axes.grid(axis="y")
        return page.finished(means.get_legend_handles_labels()[0], columns=3)


def _kinds(profile: pl.DataFrame) -> tuple[str, ...]:
    return ("pair", "own") if "own" in profile["type"] else ("pair", "ast", "builtin")


def _draw_ranges(axes: Axes, rows: pl.DataFrame, look: style.KindStyle, offset: float) -> None:
    at = rows["layer"].to_numpy() + offset
    low, middle, high = (
        rows[column].cast(pl.Float64).to_numpy()
        for column in ("min_size", "median_size", "max_size")
    )
    axes.vlines(at, low, high, colors=look.colour, linewidth=1.3)
    axes.plot(at, middle, linestyle="none", marker=look.marker, color=look.colour)


def in_words(profile: pl.DataFrame) -> str:
    """Return the mean size of each type in words, layer by layer."""
    sizes = {kind: profile.filter(type=kind).sort("layer")["mean_size"] for kind in _kinds(profile)}
    opening = "Line plot of mean circuit size in neurons, from layer 0."
    means = {kind: [f"{mean:.1f}" for mean in of_kind] for kind, of_kind in sizes.items()}
    return style.lines_in_words(opening, means)


def make(making: Making) -> tuple[list[Figure], str]:
    """Make the figure of circuit sizes at ε = 0.001, C = 0.8, and what it shows in words."""
    table = making.read("layer_profile")
    return [draw(table, making.caption("layer_profile", STANDALONE))], in_words(table)
