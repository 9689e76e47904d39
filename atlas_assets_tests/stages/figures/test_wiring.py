"""The figure of one circuit's wiring: which circuit, which paths, and what is said of them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from atlas_assets.stages.circuits.wiring import EDGES, WIRING
from atlas_assets.stages.figures import wiring
from atlas_assets_tests.stages.figures import synthetic
from atlas_assets_tests.stages.figures.reading import TITLE, legible, said, title

SIZE = {"readouts": 21, "hidden": 32, "values": 8, "edges": 400}


def random_edges(n: int = 400) -> pl.DataFrame:
    """Weights between 8 layers of 24 neurons, and of 8 units between each two of them."""
    rng = np.random.default_rng(0)
    rows = {
        (layer, "readout", int(index), to, kind, int(unit))
        for layer, to, index, unit, kind in zip(
            rng.integers(0, 4, n),
            rng.integers(4, 8, n),
            rng.integers(0, 24, n),
            rng.integers(0, 8, n),
            rng.choice(["hidden", "value"], n, p=[0.8, 0.2]),
            strict=True,
        )
    }
    rows |= {(*row[3:], row[3], "readout", row[2]) for row in rows}
    ends = [("published", "ast__For", *row, float(rng.normal())) for row in sorted(rows)]
    return pl.DataFrame(ends, schema=WIRING.polars, orient="row")


def naive_paths(edges: pl.DataFrame) -> list[tuple[object, ...]]:
    rows = edges.drop("definition", "concept").rows()
    found = [
        (*read[:6], *written[3:6], read[6], written[6])
        for read in rows
        for written in rows
        if read[1] == "readout" and read[3:6] == written[:3]
    ]
    return sorted(found, key=lambda path: (-abs(path[9] * path[10]), path[:9]))  # type: ignore[operator]


def test_paths_are_all_that_loops_find_the_strongest_first() -> None:
    edges = random_edges(60)
    assert wiring.paths(edges).rows() == naive_paths(edges)


def test_the_strongest_paths_are_drawn_with_every_neuron_on_them_named() -> None:
    edges = random_edges()
    figure = wiring.draw(edges, "ast__For", SIZE, 8, synthetic.CAPTION)
    text = legible(figure)
    assert title(figure)[:2] == ["Wiring of the contrastive circuit of For", TITLE]
    shown = naive_paths(edges)[: wiring.PATHS]
    drawn = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    assert len(drawn) == 2 * len(shown)
    colours = [(line.get_color(), line.get_linestyle()) for line in drawn]
    signs = [weight > 0 for path in shown for weight in path[9:]]  # type: ignore[operator]
    assert len(set(zip(colours, signs, strict=True))) == 2
    for path in shown:
        assert str(path[2]) in text and str(path[8]) in text
    assert f"40 of {len(naive_paths(edges)):,} paths" in text


def test_a_circuit_without_a_path_is_said_to_have_none() -> None:
    figure = wiring.draw(random_edges()[:0], "ast__For", SIZE, 8, synthetic.CAPTION)
    assert "No neuron of the circuit is wired to a later one." in said(figure)


@pytest.mark.parametrize(
    ("edges", "found"),
    [
        # the fewest of an AST node of enough; else of a builtin; else the most
        ((60, 50, 45), "ast__If"),
        ((60, 39, 45), "ast__For"),
        ((39, 30, 45), "builtin__len"),
        ((30, 39, 10), "ast__If"),
        ((0, 0, 0), None),
    ],
)
def test_the_concept_is_chosen_by_its_edges(edges: tuple[int, ...], found: str | None) -> None:
    names = ("ast__For", "ast__If", "builtin__len")
    rows = [
        (definition, name, name.partition("__")[0], 1, 1, 1, count)
        for definition, counts in (("contrastive", edges), ("published", (41, 41, 41)))
        for name, count in zip(names, counts, strict=True)
    ]
    assert wiring.chosen(pl.DataFrame(rows, schema=EDGES.polars, orient="row")) == found


def test_the_words_give_the_extent_and_the_strongest_path() -> None:
    edges = random_edges()
    words = wiring.in_words(edges, "ast__For", SIZE)
    first = naive_paths(edges)[0]
    assert "21 neurons, 32 hidden units, 8 value channels and 400 edges." in words
    assert f"from neuron {first[2]} of layer {first[0]} through " in words
    assert f"(weights {first[9]:.2f} and {first[10]:.2f})." in words
