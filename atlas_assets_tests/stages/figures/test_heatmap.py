"""The heatmap of similarities, in the order of the dendrogram."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.image import AxesImage

from atlas_assets.stages.figures import dendrogram, heatmap, style
from atlas_assets.stages.masks.similarity import jaccard
from atlas_assets_tests.stages.figures import synthetic
from atlas_assets_tests.stages.figures.reading import TITLE, legible, said, texts


def test_the_heatmap_shows_the_similarities_in_the_order_of_the_leaves() -> None:
    universal = synthetic.universal()
    found = dendrogram.tree(universal, 3)
    assert found is not None
    figure = synthetic.drawn("heatmap")
    legible(figure)
    image = figure.axes[0].images[0]
    assert isinstance(image, AxesImage)
    rows = [universal.index(name) for name in found.names]
    assert np.array_equal(image.get_array(), jaccard(universal.bits[rows, 3]))
    assert image.get_clim() == (0, 1)
    drawn = texts(figure)
    assert drawn.count(TITLE) == 1
    assert "Jaccard similarity of universal circuits, layer 3" in drawn
    assert {"Jaccard similarity", "AST", "builtin"} <= set(drawn)
    assert {style.bare(name) for name in synthetic.names()} <= set(drawn)


@pytest.mark.parametrize("n", [24, 25, 60, 61])
def test_heatmaps_of_every_size_are_legible(n: int) -> None:
    figure = heatmap.draw(synthetic.universal().select(synthetic.names()[:n]), 3, synthetic.CAPTION)
    legible(figure)
    assert figure.get_figwidth() == (style.SINGLE_COLUMN if n <= 24 else style.DOUBLE_COLUMN)


@pytest.mark.parametrize(("layer", "sentence"), [(3, "Fewer than two"), (8, "No layer 8")])
def test_a_heatmap_of_nothing_says_so(layer: int, sentence: str) -> None:
    few = synthetic.emptied(synthetic.few("ast__Break", "builtin__len"), 3, keep=1)
    figure = heatmap.draw(few, layer, synthetic.CAPTION)
    assert sentence in said(figure)
    assert TITLE in said(figure)


def test_the_words_name_the_most_similar_circuits() -> None:
    universal = synthetic.few("ast__For", "ast__While", "builtin__len")
    matrix = jaccard(universal.bits[:, 3])
    words = heatmap.in_words(universal, (3, 5))
    pairs = {("For", "While"): matrix[0, 1], ("For", "len"): matrix[0, 2]}
    pairs[("While", "len")] = matrix[1, 2]
    (one, other), largest = max(pairs.items(), key=lambda item: item[1])
    assert f"mean similarity {sum(pairs.values()) / 3:.3f}" in words
    assert f"largest {largest:.3f} between {one} and {other}" in words
    assert words.endswith(".")
    assert ".." not in words
    lonely = synthetic.emptied(universal, 3, keep=1)
    assert "fewer than two circuits are not empty" in heatmap.in_words(lonely, (3,))
