"""Distribution of the entanglement index E_I over the pairs of one layer (docs/science.md §5)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from atlas_assets.stages.figures import style, words
from atlas_assets.stages.figures.caption import Caption
from atlas_assets.stages.figures.drawing import Drawing
from atlas_assets.stages.figures.layers import ENTANGLEMENT_LAYER, layers_to_show
from atlas_assets.stages.figures.render import drawing
from atlas_assets.stages.making import Making
from atlas_assets.stages.setting import STANDALONE

#: the report gives the share of pairs below it (docs/science.md §6, ``report-ei``)
THRESHOLD = 0.2
_BINS = np.linspace(0, 1, 41)


def draw(entanglement: pl.DataFrame, layer: int, caption: Caption) -> Figure:
    """Histogram of E_I with its mean, its median and the line at 0.2.

    Args:
        entanglement: columns layer, pair_size and entanglement_index among others
            (``compositionality.entanglement``), one setting.
        layer: which layer.
        caption: what the table was computed on.

    Returns:
        A single-column figure. Empty pairs count as 0, as in the published mean.
    """
    rows = entanglement.filter(layer=layer)
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
        axes = page.figure.subplots()
        if not values.size:
            style.say(axes, f"No pair at layer {layer}.")
            return style.settle(page.figure)
        _draw_bars(axes, values)
        _draw_lines(axes, values)
        page.add_key(axes.get_legend_handles_labels()[0], columns=3)
        return style.settle(page.figure)


def _draw_bars(axes: Axes, values: npt.NDArray[np.float64]) -> None:
    axes.hist(values, bins=_BINS.tolist(), color=style.SKY_BLUE, edgecolor="white", linewidth=0.3)
    axes.set_xlim(-0.02, 1.02)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.set_xlabel("entanglement index $E_I$", parse_math=True)
    axes.set_ylabel("pairs")
    axes.grid(axis="y")


def _draw_lines(axes: Axes, values: npt.NDArray[np.float64]) -> None:
    mean, median = float(values.mean()), float(np.median(values))
    for at, colour, line, label in (
        (mean, style.VERMILION, "-", f"mean {mean:.4f}"),
        (median, style.BLACK, "--", f"median {median:.4f}"),
        (THRESHOLD, style.BLUE, ":", f"{THRESHOLD}"),
    ):
        axes.axvline(at, color=colour, linestyle=line, linewidth=1.4, label=label)


def _footnotes(values: npt.NDArray[np.float64], empty: int) -> list[str]:
    if not values.size:
        return []
    below = int(np.count_nonzero(values < THRESHOLD))
    notes = [
        f"{below:,} of {values.size:,} pairs ({below / values.size:.2%}) lie below {THRESHOLD}."
    ]
    if empty:
        notes.append(f"{empty:,} empty pairs count as 0.")
    return notes


def in_words(table: pl.DataFrame, layer: int) -> str:
    """Mean, median and lower tail of the entanglement index (``compositionality``)."""
    values = table.filter(layer=layer)["entanglement_index"].to_numpy()
    if not len(values):
        return f"No pair at layer {layer}."
    below = float(np.mean(values < THRESHOLD))
    return words.sentences(
        f"Histogram of the entanglement index of {len(values):,} pairs at layer {layer}.",
        f"Mean {values.mean():.4f}, median {float(np.median(values)):.4f}, "
        f"{below:.2%} below {THRESHOLD}",
    )


def make(making: Making) -> Drawing:
    """The artifact: the entanglement of the pairs at one layer, at ε = 0.001, C = 0.8."""
    making.require_in_sweep(STANDALONE)
    table = making.read("compositionality")
    (layer,), notes = layers_to_show(table["layer"].n_unique(), (ENTANGLEMENT_LAYER,))
    sheet = draw(table, layer, making.caption("compositionality", STANDALONE, notes))
    return drawing([sheet], in_words(table, layer))
