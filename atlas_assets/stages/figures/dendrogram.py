"""The atomicity dendrogram (paper Figure 1): which circuits of a layer lie together.

Ward linkage on 1 − Jaccard of one layer's non-empty universal masks, leaves in optimal order, the
six atomic concepts marked and the cut into clusters shown. Two layers stand side by side, because
the paper's text says layer 5, the release shows the cluster at layer 3 (docs/science.md §8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.text import Text

from atlas_assets.stages.analyses import atomicity
from atlas_assets.stages.concepts import kinds_of
from atlas_assets.stages.figures import style
from atlas_assets.stages.figures.caption import Caption, layers_to_show, sentences
from atlas_assets.stages.making import Making
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.setting import REFERENCE

#: the paper's text speaks of layer 5, the release shows the cluster at layer 3
LAYERS = (3, 5)
#: points between leaves: at 106 leaves the figure still fits a page
_PITCHES = ((60, 5.5), (24, 7.5), (0, 9.5))
_SMALLEST_PANEL = 1.4
#: points across a cluster's number
_CIRCLE = 9.0

_CUT: dict[str, Any] = {"color": style.BLACK, "linewidth": 0.7, "linestyle": style.DASHES}
_ATOMIC = "atomic concept (AST)"
#: what leaves are marked as → marker, colour inside, size as a share of the pitch
_MARKS = {
    "AST": (style.KINDS["ast"].marker, style.KINDS["ast"].colour, 0.6),
    "builtin": (style.KINDS["builtin"].marker, "white", 0.52),
    _ATOMIC: ("*", style.YELLOW, 1.25),
    "concept": (style.KINDS["own"].marker, style.KINDS["own"].colour, 0.6),
}

Point = tuple[float, float]


@dataclass(frozen=True)
class Branch:
    """A straight piece of a tree: from (position, height) to (position, height)."""

    start: Point
    end: Point
    colour: str


@dataclass(frozen=True, eq=False)
class Tree:
    """One layer's dendrogram, ready to draw.

    Attributes:
        names: The concepts with a circuit at the layer, in the order of the leaves.
        branches: The lines of the tree; leaf i is at position i, height 0.
        height: The height of the root, in units of Ward's distance.
        cut: The height of the cut into clusters; ``None`` when there is nothing to cut.
        roots: Where each cluster crosses the cut, by position; numbered in that order from 1.
        n_empty: The number of concepts without a circuit at the layer.
    """

    names: tuple[str, ...]
    branches: tuple[Branch, ...]
    height: float
    cut: float | None
    roots: tuple[float, ...]
    n_empty: int


def draw(universal: Masks, layers: Sequence[int], caption: Caption) -> Figure:
    """Draw the dendrogram of each layer, side by side, as tall as its leaves need.

    A layer that the model lacks is said to be missing.
    """
    trees = [tree(universal, layer) for layer in layers]
    rows = max((len(found.names) for found in trees if found), default=0)
    pitch = next(pitch for least, pitch in _PITCHES if rows >= least)
    listed = f"layer{'s' if len(layers) > 1 else ''} {' and '.join(map(str, layers))}"
    with style.paper():
        page = style.sheet(
            style.SINGLE_COLUMN * len(layers),
            max(rows * pitch / 72 + 0.55, _SMALLEST_PANEL),
            f"Atomicity dendrogram, {listed}",
            caption,
            footnotes=_footnotes(trees, layers),
            key_rows=0 if rows < 2 else 1 if len(layers) > 1 else 2,
        )
        panels = page.figure.subplots(1, len(layers), squeeze=False)[0]
        for panel, found, layer in zip(panels, trees, layers, strict=True):
            if len(layers) > 1:
                panel.set_title(f"layer {layer}", loc="left", fontweight="bold")
            if found is None or len(found.names) < 2:
                style.say(panel, _why_nothing(found, layer, universal.n_layers))
            else:
                _draw_tree(panel, found, rows, pitch)
        if rows < 2:
            return style.settle(page.figure)
        return page.finished(_key(universal), columns=4 if len(layers) > 1 else 2)


def tree(universal: Masks, layer: int) -> Tree | None:
    """Return one layer's tree: ``None`` when the model lacks the layer, no branch for one leaf."""
    if not 0 <= layer < universal.n_layers:
        return None
    found = atomicity.linkage(universal, layer)
    n_empty = len(universal.names) - len(found.names)
    if len(found.names) < 2:
        return Tree(found.names, (), 0.0, None, (), n_empty)
    groups = atomicity.clusters(universal, layer)
    return _grow(found, np.array([groups[name] for name in found.names]), n_empty)


def _grow(linkage: atomicity.Linkage, labels: npt.NDArray[np.int64], n_empty: int) -> Tree:
    names, merges, order = linkage
    n = len(names)
    position = np.empty(2 * n - 1)
    position[order] = np.arange(n)
    height = np.concatenate([np.zeros(n), merges[:, 2]])
    cut = _cut(merges[:, 2], len(set(labels.tolist())))
    shade = [style.CLUSTERS[(label - 1) % len(style.CLUSTERS)] for label in labels.tolist()]
    branches: list[Branch] = []
    roots: list[float] = []
    for node, (left, right) in enumerate(merges[:, :2].astype(int).tolist(), start=n):
        ends = float(position[left]), float(position[right])
        position[node] = sum(ends) / 2
        inside = cut is not None and height[node] < cut
        shade.append(shade[left] if inside else style.GREY)
        top = float(height[node])
        for child, at in zip((left, right), ends, strict=True):
            foot = float(height[child])
            crossing = cut is not None and foot < cut <= top
            middle = cut if cut is not None and crossing else top
            branches.append(Branch((at, foot), (at, middle), shade[child]))
            if crossing:
                roots.append(at)
                branches.append(Branch((at, middle), (at, top), style.GREY))
        branches.append(Branch((ends[0], top), (ends[1], top), shade[node]))
    leaves = tuple(names[i] for i in order.tolist())
    return Tree(leaves, tuple(branches), float(height[-1]), cut, tuple(sorted(roots)), n_empty)


def _cut(heights: npt.NDArray[np.float64], n_clusters: int) -> float | None:
    """Return the height half way between the last merge in a cluster and the first of two clusters.

    None for a single cluster, and where equal circuits leave no height to cut at.
    """
    if n_clusters < 2:
        return None
    first = len(heights) - n_clusters + 1
    below = heights[first - 1] if first > 0 else 0.0
    return float((below + heights[first]) / 2) if heights[first] > below else None


def draw_branches(axes: Axes, found: Tree, *, upright: bool, line_width: float) -> None:
    """Draw the lines of a tree: upright with leaves along x, otherwise with leaves along y."""
    for colour in sorted({branch.colour for branch in found.branches}):
        lines = [
            [point if upright else point[::-1] for point in (branch.start, branch.end)]
            for branch in found.branches
            if branch.colour == colour
        ]
        axes.add_collection(
            LineCollection(lines, colors=colour, linewidths=line_width, capstyle="projecting")
        )


def label_leaf(label: Text, concept: str, *, size: float) -> None:
    """Give a tick label its concept's font: builtins in italics, atomic concepts marked."""
    kind = style.kind_of(concept)
    label.set(fontsize=size, fontstyle=kind.slant, color=style.BLACK)
    if concept in atomicity.ATOMIC_CONCEPTS:
        box = {"boxstyle": _highlight, "facecolor": style.YELLOW, "edgecolor": "none"}
        label.set(fontweight="bold", bbox=box)


def _highlight(left: float, bottom: float, width: float, height: float, size: float) -> Path:
    """Return a box that is a little lower than a line, so that it covers no neighbouring label."""
    inset, overhang = 0.12 * height, 0.1 * size
    x, y = (left - overhang, left + width + overhang), (bottom + inset, bottom + height - inset)
    return Path([(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1]), (x[0], y[0])], closed=True)


def leaf_width(concept: str, size: float) -> float:
    """Return the width in points of what `label_leaf` writes."""
    weight = "bold" if concept in atomicity.ATOMIC_CONCEPTS else "normal"
    return style.text_width(style.label_of(concept), size, weight, style.kind_of(concept).slant)


def _draw_tree(axes: Axes, found: Tree, rows: int, pitch: float) -> None:
    draw_branches(axes, found, upright=False, line_width=0.8)
    n = len(found.names)
    axes.set_xlim(found.height * 1.04 or 1.0, 0)
    axes.set_ylim(max(rows, n) - 0.4, -0.6)
    axes.set_xlabel("Ward distance, on 1 − Jaccard similarity")
    axes.spines["left"].set_visible(False)
    axes.yaxis.tick_right()
    axes.set_yticks(range(n), [style.label_of(name) for name in found.names])
    axes.tick_params(axis="y", length=0, pad=pitch * 0.7 + 1.5)
    for label, name in zip(axes.get_yticklabels(), found.names, strict=True):
        label_leaf(label, name, size=min(7.0, pitch - 0.5))
    _mark_leaves(axes, found, pitch)
    if found.cut is not None:
        axes.axvline(found.cut, **_CUT, zorder=1)
        _number_clusters(axes, found.roots, found.cut, pitch)


def _number_clusters(axes: Axes, roots: Sequence[float], cut: float, pitch: float) -> None:
    """Draw circled numbers on the cut, side by side where clusters are single leaves."""
    box = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "linewidth": 0.5}
    shift, before = 0.0, -np.inf
    for number, at in enumerate(roots, start=1):
        shift = shift - _CIRCLE if (at - before) * pitch < _CIRCLE else 0.0
        before = at
        axes.annotate(
            str(number),
            (cut, at),
            xytext=(shift, 0),
            textcoords="offset points",
            fontsize=style.SMALLEST_FONT,
            ha="center",
            va="center",
            bbox=box,
            zorder=4,
        )


def _mark_leaves(axes: Axes, found: Tree, pitch: float) -> None:
    for label in _MARKS:
        at = [i for i, name in enumerate(found.names) if _mark_of(name) == label]
        if at:
            axes.plot(np.zeros(len(at)), at, **_mark(label, pitch), clip_on=False, zorder=5)


def _mark(label: str, pitch: float) -> dict[str, Any]:
    """Return the mark of the leaves of one kind, for the figure and for its key."""
    marker, face, share = _MARKS[label]
    return {
        "linestyle": "none",
        "marker": marker,
        "markersize": pitch * share,
        "markerfacecolor": face,
        "label": label,
    }


def _mark_of(concept: str) -> str:
    return _ATOMIC if concept in atomicity.ATOMIC_CONCEPTS else style.kind_of(concept).label


def _key(universal: Masks) -> list[Line2D]:
    cut = Line2D([], [], **_CUT, label=f"cut into {atomicity.CUT} clusters")
    of_concepts = [style.KINDS[kind].label for kind in kinds_of(universal.names)]
    labels = of_concepts if len(of_concepts) == 1 else [*of_concepts, _ATOMIC]
    return [*(Line2D([], [], **_mark(label, 7.0)) for label in labels), cut]


def no_layer(layer: int, n_layers: int) -> str:
    """Return the sentence that stands in place of a layer that the model lacks."""
    return f"No layer {layer}: the model\nhas layers 0 to {n_layers - 1}."


def _why_nothing(found: Tree | None, layer: int, n_layers: int) -> str:
    if found is None:
        return no_layer(layer, n_layers)
    if not found.names:
        return f"Every circuit is empty\nat layer {layer}."
    only = style.label_of(found.names[0])
    return f"Only {only} has a circuit\nat layer {layer}: nothing to compare."


def _footnotes(trees: Sequence[Tree | None], layers: Sequence[int]) -> list[str]:
    return [
        f"Layer {layer}: {found.n_empty} of {found.n_empty + len(found.names)} circuits are empty "
        "and left out."
        for found, layer in zip(trees, layers, strict=True)
        if found is not None and found.n_empty
    ]


def in_words(universal: Masks, layers: Sequence[int]) -> str:
    """Return the clusters of each layer, and where the atomic concepts fall, in words."""
    opening = "Dendrograms of universal circuits."
    return sentences(opening, (_clusters(universal, layer) for layer in layers))


def _clusters(universal: Masks, layer: int) -> str:
    groups = atomicity.clusters(universal, layer)
    sizes = [list(groups.values()).count(number) for number in sorted({*groups.values()})]
    if not sizes:
        return f"Layer {layer}: every circuit is empty"
    sentence = f"Layer {layer}: {len(groups)} circuits in clusters of {', '.join(map(str, sizes))}"
    atomic = [groups[name] for name in atomicity.ATOMIC_CONCEPTS if name in groups]
    placed = sorted({*atomic})
    if placed:
        plural = "s" if len(placed) > 1 else ""
        listed = ", ".join(map(str, placed))
        sentence += f"; {len(atomic)} atomic concepts in cluster{plural} {listed}"
    return sentence


def make(making: Making) -> tuple[list[Figure], str]:
    """Make the dendrograms of the masks at the reference setting, and what they show in words."""
    universal = making.universal(REFERENCE)
    layers, notes = layers_to_show(universal.n_layers, LAYERS)
    caption = making.caption("masks", REFERENCE, notes)
    return [draw(universal, layers, caption)], in_words(universal, layers)
