"""The atomicity dendrogram and the heatmap ordered by it."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from scipy.cluster.hierarchy import dendrogram as reference_dendrogram

from atlas_assets.stages.analyses import atomicity
from atlas_assets.stages.figures import dendrogram, heatmap, style
from atlas_assets.stages.figures.caption import Caption
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.masks.similarity import jaccard
from atlas_assets_tests.stages.figures import synthetic
from atlas_assets_tests.stages.figures.reading import assert_legible, said, texts, title

TITLE = "model openai/circuit-sparsity · ε=0.5, C=0.8 · readout last_token"


@pytest.fixture(scope="module")
def both(caption: Caption) -> Figure:
    return dendrogram.draw(synthetic.universal(), (3, 5), caption)


@pytest.fixture(scope="module")
def matrix(caption: Caption) -> Figure:
    return heatmap.draw(synthetic.universal(), 3, caption)


def _few(*names: str) -> Masks:
    return synthetic.universal().select(names)


def test_the_dendrogram_is_titled_and_fits_a_page(both: Figure) -> None:
    assert title(both)[:2] == ["Atomicity dendrogram, layers 3 and 5", TITLE]
    width, height = both.get_size_inches()
    assert width == style.DOUBLE_COLUMN
    assert height < 9.7


def test_all_leaves_can_be_read(both: Figure) -> None:
    assert_legible(both)
    drawn = texts(both)
    for name in synthetic.names():
        assert drawn.count(style.bare(name)) == 2


def test_axes_and_key_are_labelled(both: Figure) -> None:
    prose = said(both)
    assert prose.count("Ward distance, on 1 − Jaccard similarity") == 2
    for entry in ("AST", "builtin", "atomic concept (AST)", "cut into 4 clusters"):
        assert entry in texts(both)


def test_the_six_atomic_concepts_are_marked(both: Figure) -> None:
    for axes, layer in zip(both.axes, (3, 5), strict=True):
        found = dendrogram.tree(synthetic.universal(), layer)
        assert found is not None
        stars = [line for line in axes.lines if line.get_marker() == "*"]
        marked = {found.names[int(y)] for line in stars for y in line.get_ydata()}
        assert marked == set(atomicity.ATOMIC_CONCEPTS)
        bold = {
            label.get_text() for label in axes.get_yticklabels() if label.get_weight() == "bold"
        }
        assert bold == {style.bare(name) for name in atomicity.ATOMIC_CONCEPTS}


def test_ast_and_builtin_leaves_are_told_apart(both: Figure) -> None:
    for label in both.axes[0].get_yticklabels():
        is_builtin = f"builtin__{label.get_text()}" in synthetic.names()
        assert label.get_fontstyle() == ("italic" if is_builtin else "normal")


def test_the_tree_is_the_linkage_in_its_order() -> None:
    names, merges, order = atomicity.linkage(synthetic.universal(), 3)
    found = dendrogram.tree(synthetic.universal(), 3)
    assert found is not None
    assert list(found.names) == [names[i] for i in order]
    drawn = reference_dendrogram(merges, no_plot=True)
    links = {
        (round((x[0] - 5) / 10, 6), round((x[3] - 5) / 10, 6), round(y[1], 9))
        for x, y in zip(drawn["icoord"], drawn["dcoord"], strict=True)
    }
    crossbars = {
        (round(branch.start[0], 6), round(branch.end[0], 6), round(branch.start[1], 9))
        for branch in found.branches
        if branch.start[1] == branch.end[1] and branch.start[0] != branch.end[0]
    }
    assert crossbars == links


def test_the_cut_crosses_one_branch_per_cluster() -> None:
    universal = synthetic.universal()
    groups = atomicity.clusters(universal, 3, 4)
    found = dendrogram.tree(universal, 3, 4)
    assert found is not None
    assert found.cut is not None
    assert len(found.roots) == len(set(groups.values())) == 4
    crossing = [b for b in found.branches if b.start[1] < found.cut < b.end[1]]
    assert crossing == []  # every branch ends or starts at the cut
    below = {branch.colour for branch in found.branches if branch.end[1] < found.cut}
    assert below == set(style.CLUSTERS)


def test_leaves_of_one_cluster_have_one_colour() -> None:
    universal = synthetic.universal()
    groups = atomicity.clusters(universal, 3, 4)
    found = dendrogram.tree(universal, 3, 4)
    assert found is not None
    colours: dict[int, set[str]] = {}
    for branch in found.branches:
        if branch.start[1] == 0 and branch.start[0] == branch.end[0]:
            group = groups[found.names[int(branch.start[0])]]
            colours.setdefault(group, set()).add(branch.colour)
    assert sorted(map(len, colours.values())) == [1, 1, 1, 1]
    assert len(set.union(*colours.values())) == 4


def test_clusters_are_numbered_as_the_science_does() -> None:
    universal = synthetic.universal()
    groups = atomicity.clusters(universal, 3, 4)
    found = dendrogram.tree(universal, 3, 4)
    assert found is not None
    for number, root in enumerate(found.roots, start=1):
        members = [at for at, name in enumerate(found.names) if groups[name] == number]
        assert members[0] <= root <= members[-1]


def test_numbers_of_clusters_that_are_single_leaves_do_not_meet(caption: Caption) -> None:
    names = synthetic.names()[:70]
    bits = synthetic.universal(2, 256).bits[:70].copy()
    bits[:, 0] = bits[:1, 0]
    for i in range(3):
        bits[i, 0] = False
        bits[i, 0, 200 + i] = True
    figure = dendrogram.draw(Masks(names, bits), (0,), caption)
    assert_legible(figure)
    assert set("1234") <= set(texts(figure))


@pytest.mark.parametrize("draw", [dendrogram.draw, heatmap.draw])
def test_empty_circuits_are_left_out_and_counted(draw: object, caption: Caption) -> None:
    masks = synthetic.emptied(synthetic.universal(), 3, keep=70)
    figure = (
        dendrogram.draw(masks, (3,), caption)
        if draw is dendrogram.draw
        else heatmap.draw(masks, 3, caption)
    )
    assert_legible(figure)
    assert "36 of 106 circuits are empty" in said(figure)


def test_panels_of_different_size_keep_their_pitch(caption: Caption) -> None:
    masks = synthetic.emptied(synthetic.universal(), 3, keep=30)
    figure = dendrogram.draw(masks, (3, 5), caption)
    assert_legible(figure)
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_two_circuits_make_a_tree(long_caption: Caption) -> None:
    few = _few("ast__Break", "builtin__len")
    for figure in (dendrogram.draw(few, (3,), long_caption), heatmap.draw(few, 3, long_caption)):
        assert_legible(figure)
        assert {"Break", "len"} <= set(texts(figure))


def test_equal_circuits_have_no_cut(caption: Caption) -> None:
    bits = np.ones((3, 1, 8), dtype=np.bool_)
    same = Masks(("ast__For", "ast__If", "builtin__len"), bits)
    found = dendrogram.tree(same, 0)
    assert found is not None
    assert (found.height, found.cut, found.roots) == (0, None, ())
    assert_legible(dendrogram.draw(same, (0,), caption))
    assert_legible(heatmap.draw(same, 0, caption))


@pytest.mark.parametrize(
    ("keep", "layer", "sentence"),
    [
        (0, 3, "Every circuit is empty at layer 3."),
        (1, 3, "Only Break has a circuit at layer 3: nothing to compare."),
        (2, 8, "No layer 8: the model has layers 0 to 7."),
    ],
)
def test_a_dendrogram_of_nothing_says_so(
    keep: int, layer: int, sentence: str, caption: Caption
) -> None:
    few = synthetic.emptied(_few("ast__Break", "builtin__len"), 3, keep=keep)
    figure = dendrogram.draw(few, (layer,), caption)
    assert sentence in said(figure)
    assert TITLE in said(figure)
    assert_legible(figure)


@pytest.mark.parametrize(("layer", "sentence"), [(3, "Fewer than two"), (8, "No layer 8")])
def test_a_heatmap_of_nothing_says_so(layer: int, sentence: str, caption: Caption) -> None:
    few = synthetic.emptied(_few("ast__Break", "builtin__len"), 3, keep=1)
    figure = heatmap.draw(few, layer, caption)
    assert sentence in said(figure)
    assert TITLE in said(figure)


def test_the_heatmap_shows_the_similarities_in_the_order_of_the_leaves(matrix: Figure) -> None:
    universal = synthetic.universal()
    found = dendrogram.tree(universal, 3)
    assert found is not None
    image = matrix.axes[0].images[0]
    assert isinstance(image, AxesImage)
    rows = [universal.index(name) for name in found.names]
    assert np.array_equal(image.get_array(), jaccard(universal.bits[rows, 3]))
    assert image.get_clim() == (0, 1)


def test_the_heatmap_is_titled_labelled_and_legible(matrix: Figure) -> None:
    assert_legible(matrix)
    drawn = texts(matrix)
    assert drawn.count(TITLE) == 1
    assert "Jaccard similarity of universal circuits, layer 3" in drawn
    assert {"Jaccard similarity", "AST", "builtin"} <= set(drawn)
    assert {style.bare(name) for name in synthetic.names()} <= set(drawn)


@pytest.mark.parametrize("n", [24, 25, 60, 61])
def test_heatmaps_of_every_size_are_legible(n: int, caption: Caption) -> None:
    figure = heatmap.draw(_few(*synthetic.names()[:n]), 3, caption)
    assert_legible(figure)
    assert figure.get_figwidth() == (style.SINGLE_COLUMN if n <= 24 else style.DOUBLE_COLUMN)
