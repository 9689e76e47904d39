"""What ablating each concept's circuit costs every concept's prompts, a matrix per definition."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.figure import Figure

from atlas_assets.stages.figures import dendrogram, heatmap, style
from atlas_assets.stages.figures.caption import Caption, sentences
from atlas_assets.stages.making import Making
from atlas_assets.stages.rounding import Reals
from atlas_assets.stages.setting import REFERENCE

#: from what costs less than others, through white, to what costs more
_DIVERGING = "RdBu_r"
#: the colours end at this percentile of what is shown, for a few cells are far off
_LIMIT = 99
_LABEL_SIZE = 6.0
#: inches: under the matrix, above it; points: from the matrix to a label, from a label to the edge
_FOOT, _TOP = 0.78, 0.05
_TICK, _EDGE = 5.0, 6.0


def matrix(table: pl.DataFrame) -> tuple[tuple[str, ...], Reals]:
    """Return the concepts, AST nodes first, and float64 ``[ablated, prompts of]``.

    A value is the rise of the loss, less the mean of its row over the prompts of other concepts, in
    nats per token; on the diagonal that is the specificity. NaN where nothing was run.

    Args:
        table: Rows of one definition of the artifact ``specificity``.
    """
    names = tuple(sorted({*table["concept"], *table["prompts_of"]}))
    place = {name: number for number, name in enumerate(names)}
    rises = np.full((len(names), len(names)), np.nan)
    for concept, prompts_of, rise in table.select("concept", "prompts_of", "rise").rows():
        rises[place[concept], place[prompts_of]] = rise
    others = np.where(np.eye(len(names), dtype=np.bool_), np.nan, rises)
    counts = np.count_nonzero(~np.isnan(others), axis=1)
    means = np.divide(
        np.nansum(others, axis=1), counts, out=np.full(len(names), np.nan), where=counts > 0
    )
    return names, rises - means[:, np.newaxis]


def draw(table: pl.DataFrame, definition: str, caption: Caption) -> Figure:
    """Draw the matrix of one definition: rows are circuits, columns the concepts of prompts."""
    names, values = matrix(table.filter(pl.col("definition") == definition))
    n, width = len(names), style.DOUBLE_COLUMN
    known = np.abs(values[~np.isnan(values)])
    limit = float(np.percentile(known, _LIMIT)) if known.size else 0.0
    notes = ["Row labels alternate between left and right. Grey: not run."]
    notes.append("Builtins in italics, atomic concepts on yellow.")
    with style.paper():
        widest = max(dendrogram.leaf_width(name, _LABEL_SIZE) for name in names)
        left = (widest + _TICK + _EDGE) / 72
        side = width - 2 * left
        heading = f"Rise of the loss where a circuit is ablated: {definition}"
        page = style.sheet(width, side + _FOOT + _TOP, heading, caption, footnotes=notes)
        page.figure.set_layout_engine("none")
        axes = page.figure.add_axes(page.fraction(left, _FOOT, side, side))
        colours = mpl.colormaps[_DIVERGING].with_extremes(bad=style.PALE_GREY)
        image = axes.imshow(
            values, cmap=colours, vmin=-(limit or 1), vmax=limit or 1, aspect="auto"
        )
        image.set_interpolation("nearest")
        pitch = side * 72 / n
        heatmap.label_rows(axes, names, range(0, n, 2), pitch)
        axes.set_xlabel("prompts of the same concepts, in the order of the rows", labelpad=3)
        right = axes.twinx()
        right.set_ylim(axes.get_ylim())
        heatmap.label_rows(right, names, range(1, n, 2), pitch)
        nodes = sum(name.startswith("ast__") for name in names)
        for line in (axes.axhline, axes.axvline):
            line(nodes - 0.5, color=style.BLACK, linewidth=0.6)
        bar = page.figure.add_axes(page.fraction(left, 0.36, side, 0.1))
        scale = page.figure.colorbar(image, cax=bar, orientation="horizontal", extend="both")
        scale.set_label(
            "rise less the mean over prompts of other concepts, nats per token", labelpad=1
        )
        scale.outline.set_linewidth(0.4)
        return page.figure


def in_words(table: pl.DataFrame) -> str:
    """Return how much more own prompts rise than others, by definition, in words."""
    opening = (
        "Matrices of the rise of the loss: a row for each circuit that is ablated, a column for "
        "the concept of the prompts."
    )
    definitions = table["definition"].unique(maintain_order=True)
    return sentences(opening, (_of_definition(table, each) for each in definitions))


def _of_definition(table: pl.DataFrame, definition: str) -> str:
    names, values = matrix(table.filter(pl.col("definition") == definition))
    own = np.diagonal(values)
    known = ~np.isnan(own)
    if not known.any():
        return f"{definition}: no concept has own and other prompts"
    most = np.nanmax(np.where(np.isnan(values), -np.inf, values), axis=1)
    first = int(np.count_nonzero(own[known] >= most[known]))
    return (
        f"{definition}: on the diagonal {own[known].mean():+.3f} nats on average; {first} of "
        f"{len(names)} circuits cost their own concept most"
    )


def make(making: Making) -> tuple[list[Figure], str]:
    """Make a sheet per definition, and what they show in words."""
    table: pl.DataFrame = making.read("specificity")
    caption = making.caption("specificity", REFERENCE)
    definitions = table["definition"].unique(maintain_order=True)
    return [draw(table, each, caption) for each in definitions], in_words(table)
