"""Distribution of the entanglement index E_I over the pairs of one layer (docs/science.md §5)."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from atlas_assets.stages.figures import style
from atlas_assets.stages.figures.caption import Caption, layers_to_show, sentences
from atlas_assets.stages.making import Making
from atlas_assets.stages.rounding import Reals
from atlas_assets.stages.setting import STANDALONE

#: the layer of the published mean (docs/science.md §6, ``report-ei``)
LAYER = 4
#: the report gives the share of pairs below it (docs/science.md §6, ``report-ei``)
THRESHOLD = 0.2
_BINS = np.linspace(0, 1, 41)


def draw(table: pl.DataFrame, layer: int, caption: Caption) -> Figure:
    """Draw a histogram of E_I at one layer with its mean, its median and the line at 0.2.

    The table is ``compositionality``. Empty pairs count as 0, as in the published mean.
    """
    rows = table.filter(layer=layer)
    values = rows["entanglement_index"].to_numpy().astype(np.float64)
    empty = rows.filter(pl.col("pair_size") == 0).height
    with style.paper():
        page = style.sheet(
            style.SINGLE_COLUMN,
            2.6,
            f"Entanglement index of pairs, layer {layer}",
            caption,
            footnotes=_footnotes(values, empty),
            key_rows=1,
        )
        if not values.size:
            return page.saying(f"No pair at layer {layer}.")
        axes = page.figure.subplots()
        axes.hist(
            values, bins=_BINS.tolist(), color=style.SKY_BLUE, edgecolor="white", linewidth=0.3
        )
        axes.set_xlim(-0.02, 1.02)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.set_xlabel("entanglement index $E_I$", parse_math=True)
        axes.set_ylabel("pairs")
        axes.grid(axis="y")
        _draw_lines(axes, values)
        return page.finished(axes.get_legend_handles_labels()[0], columns=3)


def _draw_lines(axes: Axes, values: Reals) -> None:
    mean, median = float(values.mean()), float(np.median(values))
    for at, colour, line, label in (
        (mean, style.VERMILION, "-", f"mean {mean:.4f}"),
        (median, style.BLACK, "--", f"median {median:.4f}"),
        (THRESHOLD, style.BLUE, ":", f"{THRESHOLD}"),
    ):
        axes.axvline(at, color=colour, linestyle=line, linewidth=1.4, label=label)


def _footnotes(values: Reals, empty: int) -> list[str]:
    if not values.size:
        return []
    below = int(np.count_nonzero(values < THRESHOLD))
    share = f"{below:,} of {values.size:,} pairs ({below / values.size:.2%})"
    notes = [f"{share} lie below {THRESHOLD}."]
    return [*notes, f"{empty:,} empty pairs count as 0."] if empty else notes


def in_words(table: pl.DataFrame, layer: int) -> str:
    """Return mean, median and lower tail of the entanglement index in words."""
    values = table.filter(layer=layer)["entanglement_index"].to_numpy()
    if not len(values):
        return f"No pair at layer {layer}."
    mean, median = values.mean(), float(np.median(values))
    below = float(np.mean(values < THRESHOLD))
    return sentences(
        f"Histogram of the entanglement index of {len(values):,} pairs at layer {layer}.",
        [f"Mean {mean:.4f}, median {median:.4f}, {below:.2%} below {THRESHOLD}"],
    )


def make(making: Making) -> tuple[list[Figure], str]:
    """Make the figure of the pairs of one layer at ε = 0.001, C = 0.8, and what it shows."""
    table = making.read("compositionality")
    (layer,), notes = layers_to_show(table["layer"].n_unique(), (LAYER,))
    caption = making.caption("compositionality", STANDALONE, notes)
    return [draw(table, layer, caption)], in_words(table, layer)
