"""Jaccard similarity of one layer's universal circuits, in the order of their dendrogram."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch

from atlas_assets.stages.analyses import atomicity
from atlas_assets.stages.concepts import Kind, kinds_of
from atlas_assets.stages.figures import dendrogram, style
from atlas_assets.stages.figures.caption import Caption, layers_to_show, sentences
from atlas_assets.stages.figures.dendrogram import Tree
from atlas_assets.stages.making import Making
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.masks.similarity import jaccard
from atlas_assets.stages.setting import REFERENCE

#: as many circuits fit a single column, and as many have all their labels on one side
_SINGLE, _ONE_SIDE = 24, 60
#: inches: the tree above the matrix, the strip of kinds, the gap between, the colour bar's room
_TREE, _STRIP, _GAP, _FOOT, _TOP = 0.55, 0.09, 0.04, 0.78, 0.05
_LABEL_SIZE = 6.0
#: points from the matrix to a label, and from a label to the edge
_TICK, _EDGE = 5.0, 6.0


def draw(universal: Masks, layer: int, caption: Caption) -> Figure:
    """Draw the similarity matrix of one layer under its dendrogram.

    Up to 24 circuits fit a single column; with more than 60 the labels alternate between the left
    and the right side. A layer that the model lacks is said to be missing.
    """
    heading = f"Jaccard similarity of universal circuits, layer {layer}"
    found = dendrogram.tree(universal, layer)
    with style.paper():
        if found is None or len(found.names) < 2:
            nothing = f"Fewer than two circuits\nare not empty at layer {layer}."
            lacks = dendrogram.no_layer(layer, universal.n_layers)
            page = style.sheet(style.SINGLE_COLUMN, 1.4, heading, caption)
            return page.saying(nothing if found else lacks)
        n = len(found.names)
        width = style.SINGLE_COLUMN if n <= _SINGLE else style.DOUBLE_COLUMN
        widest = max(dendrogram.leaf_width(name, _LABEL_SIZE) for name in found.names)
        left = (widest + _TICK + _EDGE) / 72
        side = width - left - (left if n > _ONE_SIDE else 2 * _EDGE / 72)
        height = side + _FOOT + _TREE + _STRIP + 2 * _GAP + _TOP
        page = style.sheet(width, height, heading, caption, footnotes=_footnotes(found))
        page.figure.set_layout_engine("none")
        rows = [universal.index(name) for name in found.names]
        image = _draw_matrix(page, left, side, found, jaccard(universal.bits[rows, layer]))
        _draw_top(page, left, side, found)
        _draw_keys(page, left, side, image, kinds_of(found.names))
        return page.figure


def _draw_matrix(
    page: style.Sheet, left: float, side: float, found: Tree, values: npt.NDArray[np.float64]
) -> AxesImage:
    n = len(found.names)
    axes = page.figure.add_axes(page.fraction(left, _FOOT, side, side))
    image = axes.imshow(values, cmap=style.SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    image.set_interpolation("nearest")
    pitch = side * 72 / n
    label_rows(axes, found.names, range(0, n, 2) if n > _ONE_SIDE else range(n), pitch)
    axes.set_xlabel("the same circuits, in the order of the rows", labelpad=3)
    if n > _ONE_SIDE:
        right = axes.twinx()
        right.set_ylim(axes.get_ylim())
        label_rows(right, found.names, range(1, n, 2), pitch)
    return image


def label_rows(axes: Axes, names: Sequence[str], rows: range, pitch: float) -> None:
    """Label some rows of a matrix of concepts, ``pitch`` points high each."""
    axes.set_yticks(list(rows), [style.label_of(names[i]) for i in rows])
    axes.set_xticks([])
    axes.tick_params(axis="y", length=3, width=0.4, pad=1.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    size = min(_LABEL_SIZE, max(style.SMALLEST_FONT, pitch * rows.step - 0.5))
    for i, label in zip(rows, axes.get_yticklabels(), strict=True):
        dendrogram.label_leaf(label, names[i], size=size)


def _draw_top(page: style.Sheet, left: float, side: float, found: Tree) -> None:
    """Draw the strip of kinds and the dendrogram with its cut above the matrix."""
    bottom = _FOOT + side + _GAP
    strip = page.figure.add_axes(page.fraction(left, bottom, side, _STRIP))
    is_ast = np.array(
        [[style.kind_of(name) is not style.KINDS["builtin"] for name in found.names]], int
    )
    colours = ListedColormap([style.KINDS["builtin"].colour, style.KINDS["ast"].colour])
    image = strip.imshow(is_ast, cmap=colours, vmin=0, vmax=1, aspect="auto")
    image.set_interpolation("nearest")
    strip.set_axis_off()
    bottom += _STRIP + _GAP
    axes = page.figure.add_axes(page.fraction(left, bottom, side, _TREE))
    dendrogram.draw_branches(axes, found, upright=True, line_width=0.6)
    axes.set_xlim(-0.5, len(found.names) - 0.5)
    axes.set_ylim(0, found.height * 1.04 or 1.0)
    axes.set_axis_off()
    if found.cut is not None:
        axes.axhline(found.cut, color=style.BLACK, linewidth=0.6, linestyle=style.DASHES)


def _draw_keys(
    page: style.Sheet, left: float, side: float, image: AxesImage, kinds: Sequence[Kind]
) -> None:
    """Draw the colour bar and the key of the colours of the strip."""
    bar = page.figure.add_axes(page.fraction(left, 0.36, side * 0.55, 0.1))
    scale = page.figure.colorbar(image, cax=bar, orientation="horizontal")
    scale.set_ticks([0, 0.5, 1])
    scale.set_label("Jaccard similarity", labelpad=1)
    scale.outline.set_linewidth(0.4)
    looks = [style.KINDS[kind] for kind in kinds]
    handles = [Patch(facecolor=look.colour, label=look.label) for look in looks]
    x, y, _, _ = page.fraction(left + side, 0.41, 0, 0)
    page.figure.legend(
        handles=handles,
        loc="center right",
        bbox_to_anchor=(x, y),
        borderaxespad=0,
        handlelength=1.2,
        ncols=2,
        columnspacing=1.0,
    )


def _footnotes(found: Tree) -> list[str]:
    notes = []
    if kinds_of(found.names) != ("own",):
        notes.append("Builtins in italics, atomic concepts on yellow.")
    if len(found.names) > _ONE_SIDE:
        notes.insert(0, "Row labels alternate between left and right.")
    if found.cut is not None:
        notes.append(f"Dashed: the cut into {atomicity.CUT} clusters.")
    if found.n_empty:
        total = found.n_empty + len(found.names)
        notes.append(f"{found.n_empty} of {total} circuits are empty at this layer and left out.")
    return notes


def in_words(universal: Masks, layers: Sequence[int]) -> str:
    """Return the mean similarity of each layer and its most similar circuits, in words."""
    opening = "Matrices of Jaccard similarity between universal circuits."
    return sentences(opening, (_similarity(universal, layer) for layer in layers))


def _similarity(universal: Masks, layer: int) -> str:
    names, distances = atomicity.distance(universal, layer)
    if len(names) < 2:
        return f"Layer {layer}: fewer than two circuits are not empty"
    first, second = np.triu_indices(len(names), k=1)
    values = 1 - distances[first, second]
    top = int(values.argmax())
    pair = f"{style.bare(names[first[top]])} and {style.bare(names[second[top]])}"
    return (
        f"Layer {layer}: {len(names)} circuits, mean similarity {values.mean():.3f}, "
        f"largest {values[top]:.3f} between {pair}"
    )


def make(making: Making) -> tuple[list[Figure], str]:
    """Make a sheet per layer of the masks at the reference setting, and what they show in words."""
    universal = making.universal(REFERENCE)
    layers, notes = layers_to_show(universal.n_layers, dendrogram.LAYERS)
    caption = making.caption("masks", REFERENCE, notes)
    return [draw(universal, layer, caption) for layer in layers], in_words(universal, layers)
