"""Relaxed modularity as a ranking: in how many layers each circuit stands apart (paper §6.1)."""

from __future__ import annotations

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from atlas_assets.stages.analyses.modularity import SIGNIFICANCE, TRIMS
from atlas_assets.stages.figures import style, words
from atlas_assets.stages.figures.caption import Caption
from atlas_assets.stages.figures.drawing import Drawing
from atlas_assets.stages.figures.render import drawing
from atlas_assets.stages.making import Making
from atlas_assets.stages.setting import REFERENCE

_ROW = 0.145


def draw(scores: pl.DataFrame, caption: Caption, *, n_layers: int, top: int = 20) -> Figure:
    """The first concepts of the score table, one panel per trimmed share p.

    Args:
        scores: the ``modularity_scores`` table, in its own order.
        caption: what the table was computed on.
        n_layers: layers of the model, the largest score there can be.
        top: how many concepts are shown.

    Returns:
        A double-column figure of horizontal bars.
    """
    rows = scores.head(top)
    with style.paper():
        page = style.sheet(
            style.DOUBLE_COLUMN,
            max(rows.height * _ROW + 0.65, 1.4),
            "Relaxed modularity ranking",
            caption,
            footnotes=_footnotes(scores, rows),
            key_rows=1,
        )
        if not rows.height:
            style.say(page.figure.subplots(), "The score table has no concept.")
            return style.settle(page.figure)
        panels = page.figure.subplots(1, len(TRIMS), sharey=True)
        for axes, trim in zip(panels, TRIMS, strict=True):
            _draw_trim(axes, rows, trim, n_layers)
        names = [style.bare(name) for name in rows["index"]]
        panels[0].set_yticks(range(rows.height), names)
        panels[0].set_ylim(rows.height - 0.4, -0.6)
        for label, name in zip(panels[0].get_yticklabels(), rows["index"], strict=True):
            label.set_fontstyle(style.kind_of(name).slant)
        page.add_key(style.swatches(), columns=2)
        return style.settle(page.figure)


def _draw_trim(axes: Axes, rows: pl.DataFrame, trim: float, n_layers: int) -> None:
    values = rows[f"p={trim}"].to_list()
    looks = [style.kind_of(name) for name in rows["index"]]
    bars = axes.barh(
        range(rows.height),
        values,
        height=0.72,
        color=[look.colour for look in looks],
        edgecolor=style.BLACK,
        linewidth=0.5,
    )
    for bar, look in zip(bars, looks, strict=True):
        bar.set_hatch(look.hatch)
    for at, value in enumerate(values):
        axes.annotate(
            str(value),
            (value, at),
            xytext=(2.5, 0),
            textcoords="offset points",
            va="center",
            fontsize=5.5,
            color=style.BLACK if value else style.GREY,
        )
    axes.set_title(f"p = {trim}", loc="left", fontweight="bold")
    axes.set_xlim(0, max(n_layers, 1) * 1.06)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.set_xlabel("significant layers")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def _footnotes(scores: pl.DataFrame, rows: pl.DataFrame) -> list[str]:
    notes = [
        f"Significant: percentile of the trimmed mean Jaccard below {SIGNIFICANCE}.",
        "p: share of nearest neighbours dropped.",
    ]
    if rows.height < scores.height:
        notes.insert(0, f"The first {rows.height} of {scores.height} concepts.")
    if scores.height and not scores.select(f"p={trim}" for trim in TRIMS).to_numpy().any():
        notes.append("No circuit is significant at any layer.")
    return notes


def in_words(scores: pl.DataFrame, *, top: int = 5) -> str:
    """The first concepts of the ranking with their scores (``modularity_scores``)."""
    lines = [
        f"{style.bare(row['index'])}: {words.listed(str(row[f'p={trim}']) for trim in TRIMS)}"
        for row in scores.head(top).iter_rows(named=True)
    ]
    opening = (
        "Bars of the number of layers in which a concept stands apart, for "
        f"p = {words.listed(str(trim) for trim in TRIMS)}."
    )
    return words.sentences(opening, *lines)


def make(making: Making) -> Drawing:
    """The artifact: the modularity ranking at the reference setting."""
    making.require_in_sweep(REFERENCE)
    scores = making.read("modularity_scores")
    n_layers = making.read("modularity_detail")["layer"].n_unique()
    sheet = draw(scores, making.caption("modularity_scores", REFERENCE), n_layers=n_layers)
    return drawing([sheet], in_words(scores))
