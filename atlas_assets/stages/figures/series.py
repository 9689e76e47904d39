"""Circuits over the checkpoints of a training run: their size, what is concept, what is kept."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from atlas_assets.stages.figures import style
from atlas_assets.stages.figures.caption import Caption, sentences
from atlas_assets.stages.figures.drawing import Drawing
from atlas_assets.stages.figures.render import drawing

#: column → title of its panel, label of its axis
_PANELS = {
    "mean_size": ("mean size", "neurons per layer"),
    "concept_fraction": ("concept fraction", "|A∖B| / |A|"),
    "jaccard_with_last": ("like the last checkpoint", "mean Jaccard"),
}


def draw(table: pl.DataFrame, caption: Caption) -> Figure:
    """Draw one panel per quantity, a line per type of concept, over the steps.

    Where a checkpoint has no number, or two have the same, they stand side by side in their order.
    """
    places = _places(table)
    numbered = "step" in places.columns
    with style.paper():
        page = style.sheet(
            style.DOUBLE_COLUMN,
            2.2,
            "Circuits over training",
            caption,
            footnotes=("Means over concept × layer; A: circuit, B: mask of the keyword alone.",),
            key_rows=1,
        )
        panels = page.figure.subplots(1, len(_PANELS))
        for axes, (column, (title, label)) in zip(panels, _PANELS.items(), strict=True):
            _draw_panel(axes, table.join(places, on="checkpoint", maintain_order="left"), column)
            axes.set_title(title, loc="left", fontweight="bold")
            axes.set_xlabel("step" if numbered else "checkpoint")
            axes.set_ylabel(label)
            axes.set_ylim(0, 1.03 if column != "mean_size" else max(1, 1.05 * axes.get_ylim()[1]))
            axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
            axes.grid(axis="y")
        return page.finished(panels[0].get_legend_handles_labels()[0], columns=3)


def _places(table: pl.DataFrame) -> pl.DataFrame:
    """Where each checkpoint stands on the horizontal axis: ``checkpoint``, ``at``."""
    steps = table.select("checkpoint", "step").unique(maintain_order=True)
    if steps["step"].null_count() == 0 and steps["step"].is_unique().all():
        return steps.with_columns(at="step")
    return steps.select("checkpoint").with_row_index("at", offset=1)


def _draw_panel(axes: Axes, table: pl.DataFrame, column: str) -> None:
    for kind in table["type"].unique(maintain_order=True):
        rows = table.filter(type=kind)
        values = rows[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
        style.draw_line(axes, kind, rows["at"].to_numpy(), values, style.KINDS[kind].plural)


def in_words(table: pl.DataFrame) -> str:
    """Return size, concept fraction and likeness to the last checkpoint in words."""
    lines = []
    for row in table.iter_rows(named=True):
        fraction = row["concept_fraction"]
        lines.append(
            f"{row['checkpoint']}, {style.KINDS[row['type']].plural}: {row['mean_size']:.1f} "
            f"neurons, {'no' if fraction is None else f'{fraction:.1%}'} concept fraction, Jaccard "
            f"{row['jaccard_with_last']:.2f} with the last"
        )
    return sentences("Lines over the checkpoints of a training run.", lines)


def make(table: pl.DataFrame, caption: Caption) -> Drawing:
    """Make the figure of a table of `atlas_assets.stages.series`, as PNG and PDF."""
    words = in_words(table)
    if caption.note is not None:
        words = f"{words} {caption.note}."
    return drawing([draw(table, caption)], words)
