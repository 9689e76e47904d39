"""Relaxed modularity as a ranking: in how many layers each circuit stands apart (paper §6.1)."""

from __future__ import annotations

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from atlas_assets.stages.analyses.modularity import SIGNIFICANCE, TRIMS
from atlas_assets.stages.concepts import kinds_of
from atlas_assets.stages.figures import style
from atlas_assets.stages.figures.caption import Caption, sentences
from atlas_assets.stages.making import Making
from atlas_assets.stages.setting import REFERENCE

_ROW = 0.145
#: concepts that are shown, and that are described
_TOP, _DESCRIBED = 20, 5


def draw(scores: pl.DataFrame, caption: Caption, *, n_layers: int) -> Figure:
    """Draw bars of the first concepts of ``modularity_scores``, one panel per trimmed share p.

    The largest score there can be is ``n_layers``, the layers of the model.
    """
    rows = scores.head(_TOP)
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
            return page.saying("The score table has no concept.")
        panels = page.figure.subplots(1, len(TRIMS), sharey=True)
        for axes, trim in zip(panels, TRIMS, strict=True):
            _draw_trim(axes, rows, trim, n_layers)
        names = [style.label_of(name) for name in rows["index"]]
        panels[0].set_yticks(range(rows.height), names)
        panels[0].set_ylim(rows.height - 0.4, -0.6)
        for label, name in zip(panels[0].get_yticklabels(), rows["index"], strict=True):
            label.set_fontstyle(style.kind_of(name).slant)
        return page.finished(style.swatches(kinds_of(scores["index"])), columns=2)


def _draw_trim(axes: Axes, rows: pl.DataFrame, trim: float, n_layers: int) -> None:
    for at, (concept, value) in enumerate(rows.select("index", f"p={trim}").iter_rows()):
        style.draw_bar(axes, at, value, style.kind_of(concept))
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
        "About that share of the concepts is so in each layer, whatever the circuits.",
        "p: share of nearest neighbours dropped.",
    ]
    if rows.height < scores.height:
        notes.insert(0, f"The first {rows.height} of {scores.height} concepts.")
    if scores.height and not scores.select(f"p={trim}" for trim in TRIMS).to_numpy().any():
        notes.append("No circuit is significant at any layer.")
    return notes


def in_words(scores: pl.DataFrame) -> str:
    """Return the first five concepts of the ranking with their scores, in words."""
    first = scores.head(_DESCRIBED).select("index", *(f"p={trim}" for trim in TRIMS))
    return sentences(
        "Bars of the number of layers in which a concept stands apart, for "
        f"p = {', '.join(map(str, TRIMS))}.",
        (f"{style.bare(name)}: {', '.join(map(str, values))}" for name, *values in first.rows()),
    )


def make(making: Making) -> tuple[list[Figure], str]:
    """Make the figure of the ranking at the reference setting, and what it shows in words."""
    scores = making.read("modularity_scores")
    n_layers = making.read("modularity_detail")["layer"].n_unique()
    caption = making.caption("modularity_scores", REFERENCE)
    return [draw(scores, caption, n_layers=n_layers)], in_words(scores)
