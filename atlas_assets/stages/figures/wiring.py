"""The wiring of one circuit as a graph, layers from left to right: its strongest paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import polars as pl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from atlas_assets.stages.circuits.wiring import HIDDEN, KINDS, NOT_APPLICABLE, READOUT, VALUE
from atlas_assets.stages.figures import style
from atlas_assets.stages.figures.caption import Caption, sentences
from atlas_assets.stages.making import Making
from atlas_assets.stages.setting import REFERENCE

#: the circuits that one is chosen from: those that are found to be specific
DEFINITION = "contrastive"
#: paths that are drawn, at most; a circuit of fewer edges is not chosen where there is another
PATHS = 40
#: a node: layer, kind, index
Node = tuple[int, str, int]
Line = Literal["-"] | tuple[float, Sequence[float]]
Places = Mapping[Node, tuple[float, float]]

_NODES = ["layer", "kind", "index"]
_MARKERS = {READOUT: ("o", style.YELLOW), HIDDEN: ("s", "white"), VALUE: ("^", style.PALE_GREY)}
_CALLED = {READOUT: "neuron of the circuit", HIDDEN: "hidden unit", VALUE: "value channel"}
#: of positive and of negative weights
_SIGNS: Mapping[bool, tuple[str, Line]] = {
    True: (style.BLUE, "-"),
    False: (style.VERMILION, (0, (3, 1))),
}


def chosen(counted: pl.DataFrame) -> str | None:
    """Return the AST node of the fewest edges among those of `PATHS` or more, else of the most.

    A builtin is chosen where no AST node has as many.

    Args:
        counted: The table ``circuit_edges``.
    """
    some = counted.filter((pl.col("definition") == DEFINITION) & (pl.col("edges") > 0))
    enough = some.filter(pl.col("edges") >= PATHS).sort("type", "edges", "concept")
    found = enough if enough.height else some.sort(-pl.col("edges"), "concept")
    return found["concept"][0] if found.height else None


def paths(edges: pl.DataFrame) -> pl.DataFrame:
    """Return all paths from a neuron through one unit to a later neuron, the strongest first.

    The strength of a path is |product of its two weights|. Columns: ``from`` , ``unit`` and ``to``
    with ``_layer``, ``_kind`` and ``_index`` each, ``read`` and ``written`` (the weights).
    """

    def named(end: str, name: str) -> list[pl.Expr]:
        return [pl.col(f"{end}_{part}").alias(f"{name}_{part}") for part in _NODES]

    is_read = pl.col("source_kind") == READOUT
    unit = [f"unit_{part}" for part in _NODES]
    read = edges.filter(is_read).select(
        *named("source", "from"), *named("target", "unit"), read="weight"
    )
    written = edges.filter(~is_read).select(
        *named("source", "unit"), *named("target", "to"), written="weight"
    )
    found = read.join(written, on=unit)
    strength = (pl.col("read") * pl.col("written")).abs()
    names = [f"{name}_{part}" for name in ("from", "unit", "to") for part in _NODES]
    return found.sort(-strength, *names).select(*names, "read", "written")


def draw(
    edges: pl.DataFrame, concept: str, size: Mapping[str, int], n_layers: int, caption: Caption
) -> Figure:
    """Draw the strongest paths of a circuit.

    Args:
        edges: The rows of ``circuit_wiring`` of the circuit.
        concept: Whose circuit it is.
        size: Its numbers of ``readouts``, ``hidden``, ``values`` and ``edges``.
        n_layers: The layers of the model.
        caption: What the figure is about.
    """
    found = paths(edges)
    shown = found[:PATHS]
    with style.paper():
        page = style.sheet(
            style.DOUBLE_COLUMN,
            3.6,
            f"Wiring of the {DEFINITION} circuit of {style.bare(concept)}",
            caption,
            footnotes=_footnotes(shown.height, found.height, size),
            key_rows=1,
        )
        if shown.is_empty():
            return page.saying("No neuron of the circuit is wired to a later one.")
        axes = page.figure.subplots()
        places = _places(shown)
        rows = shown.rows()
        strongest = max(abs(weight) for row in rows for weight in row[9:])
        for row in rows:
            source, unit, target = (tuple(row[at : at + 3]) for at in (0, 3, 6))
            for one, other, weight in ((source, unit, row[9]), (unit, target, row[10])):
                _draw_edge(axes, places[one], places[other], weight, strongest)
        _draw_nodes(axes, places)
        style.layer_axis(axes, n_layers)
        axes.set_xlim(min(x for x, _ in places.values()) - 0.2, n_layers - 0.6)
        axes.set_ylim(-0.04, 1.04)
        axes.yaxis.set_visible(False)
        axes.spines["left"].set_visible(False)
        return page.finished(_key(places), columns=5)


def _footnotes(shown: int, found: int, size: Mapping[str, int]) -> list[str]:
    paths = (
        f"{shown:,} of {found:,} paths from a neuron through one unit to a neuron of a later layer "
        "are drawn, those of the greatest |product of both weights|; wider lines are greater "
        "weights."
    )
    return [paths, f"The circuit has {_extent(size)}."]


def _extent(size: Mapping[str, int]) -> str:
    return (
        f"{size['readouts']:,} neurons, {size['hidden']:,} hidden units, {size['values']:,} value "
        f"channels and {size['edges']:,} edges"
    )


def _places(shown: pl.DataFrame) -> dict[Node, tuple[float, float]]:
    """Return x and y of the nodes: neurons at their layer, in order; units before it.

    Units are in the order of the mean height of what they are wired to.
    """
    rows = shown.rows()
    neurons = sorted({tuple(row[at : at + 3]) for row in rows for at in (0, 6)})
    places = _spread(neurons, 0.0)
    heights: dict[Node, list[float]] = {}
    for row in rows:
        heights.setdefault(row[3:6], []).extend((places[row[:3]][1], places[row[6:9]][1]))
    units = sorted(heights, key=lambda unit: (float(np.mean(heights[unit])), unit))
    return places | _spread(units, -0.5)


def _spread(nodes: list[Node], shift: float) -> dict[Node, tuple[float, float]]:
    """Return places of nodes, those of a layer evenly from bottom to top in their order."""
    places = {}
    for layer in sorted({node[0] for node in nodes}):
        column = [node for node in nodes if node[0] == layer]
        for at, node in enumerate(column):
            places[node] = (layer + shift, (at + 0.5) / len(column))
    return places


def _draw_edge(
    axes: Axes,
    one: tuple[float, float],
    other: tuple[float, float],
    weight: float,
    strongest: float,
) -> None:
    colour, line = _SIGNS[weight > 0]
    width = 0.3 + 1.7 * abs(weight) / strongest
    axes.plot(
        *zip(one, other, strict=True), color=colour, linestyle=line, linewidth=width, alpha=0.8
    )


def _draw_nodes(axes: Axes, places: Places) -> None:
    for (_, kind, index), (x, y) in places.items():
        marker, colour = _MARKERS[kind]
        size = 5 if kind == READOUT else 3
        axes.plot(x, y, marker=marker, color=colour, markersize=size, zorder=3)
        if kind == READOUT:
            axes.annotate(
                str(index),
                (x, y),
                xytext=(4, 0),
                textcoords="offset points",
                fontsize=5.5,
                va="center",
                zorder=4,
                bbox={"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.7},
            )


def _key(places: Places) -> list[Artist]:
    present = [kind for kind in KINDS if any(kind == node[1] for node in places)]
    nodes = [
        Line2D([], [], linestyle="", marker=marker, color=colour, label=_CALLED[kind])
        for kind in present
        for marker, colour in (_MARKERS[kind],)
    ]
    signs = [
        Line2D([], [], color=colour, linestyle=line, label=label)
        for label, (colour, line) in (
            ("positive weight", _SIGNS[True]),
            ("negative weight", _SIGNS[False]),
        )
    ]
    return [*nodes, *signs]


def in_words(edges: pl.DataFrame, concept: str, size: Mapping[str, int]) -> str:
    """Return the extent of the graph and its strongest path in words."""
    lines = []
    for row in paths(edges)[:1].rows(named=True):
        through = f"{_CALLED[row['unit_kind']]} {row['unit_index']}"
        lines.append(
            f"The strongest path leads from neuron {row['from_index']} of layer "
            f"{row['from_layer']} through {through} to neuron {row['to_index']} of layer "
            f"{row['to_layer']} (weights {row['read']:.2f} and {row['written']:.2f})"
        )
    opening = f"Graph of the {DEFINITION} circuit of {concept}: {_extent(size)}."
    return sentences(opening, lines)


def make(making: Making) -> tuple[list[Figure], str]:
    """Make the figure of the circuit of fewest edges, and what it shows in words."""
    caption = making.caption("circuit_wiring", REFERENCE)
    counted: pl.DataFrame = making.read("circuit_edges")
    concept = chosen(counted)
    if concept is None:
        with style.paper():
            page = style.sheet(style.SINGLE_COLUMN, 1.0, "Wiring of a circuit", caption)
            return [page.saying(f"{NOT_APPLICABLE}.")], f"No graph: {NOT_APPLICABLE}."
    its = (pl.col("definition") == DEFINITION) & (pl.col("concept") == concept)
    edges = making.read("circuit_wiring").filter(its)
    size = counted.row(by_predicate=its, named=True)
    n_layers = making.any_universal().n_layers
    return [draw(edges, concept, size, n_layers, caption)], in_words(edges, concept, size)
