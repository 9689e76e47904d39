"""The atomicity dendrogram, and the heatmap of the same circuits where both are to be legible."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import dendrogram as reference_dendrogram

from atlas_assets.stages.analyses import atomicity
from atlas_assets.stages.figures import dendrogram, heatmap, style
from atlas_assets.stages.masks.masks import Masks
from atlas_assets_tests.stages.figures import synthetic
from atlas_assets_tests.stages.figures.reading import TITLE, legible, said, texts, title


@pytest.fixture(scope="module")
def third() -> dendrogram.Tree:
    """The tree of layer 3."""
    found = dendrogram.tree(synthetic.universal(), 3)
    assert found is not None
    return found


def test_the_dendrogram_is_titled_labelled_and_legible_on_a_page() -> None:
    both = synthetic.drawn("dendrogram")
    assert title(both)[:2] == ["Atomicity dendrogram, layers 3 and 5", TITLE]
    width, height = both.get_size_inches()
    assert width == style.DOUBLE_COLUMN
    assert height < 9.7
    assert legible(both).count("Ward distance, on 1 − Jaccard similarity") == 2
    drawn = texts(both)
    assert {"AST", "builtin", "atomic concept (AST)", "cut into 4 clusters"} <= set(drawn)
    for name in synthetic.names():
        assert drawn.count(style.bare(name)) == 2


def test_atomic_concepts_are_marked_and_builtins_in_italics() -> None:
    for axes, layer in zip(synthetic.drawn("dendrogram").axes, (3, 5), strict=True):
        found = dendrogram.tree(synthetic.universal(), layer)
        assert found is not None
        stars = [line for line in axes.lines if line.get_marker() == "*"]
        marked = {found.names[int(y)] for line in stars for y in line.get_ydata()}
        assert marked == set(atomicity.ATOMIC_CONCEPTS)
        labels = axes.get_yticklabels()
        bold = {label.get_text() for label in labels if label.get_weight() == "bold"}
        assert bold == {style.bare(name) for name in atomicity.ATOMIC_CONCEPTS}
        for label in labels:
            is_builtin = f"builtin__{label.get_text()}" in synthetic.names()
            assert label.get_fontstyle() == ("italic" if is_builtin else "normal")


def test_the_tree_is_the_linkage_in_its_order(third: dendrogram.Tree) -> None:
    names, merges, order = atomicity.linkage(synthetic.universal(), 3)
    assert list(third.names) == [names[i] for i in order]
    drawn = reference_dendrogram(merges, no_plot=True)
    links = {
        (round((x[0] - 5) / 10, 6), round((x[3] - 5) / 10, 6), round(y[1], 9))
        for x, y in zip(drawn["icoord"], drawn["dcoord"], strict=True)
    }
    crossbars = {
        (round(branch.start[0], 6), round(branch.end[0], 6), round(branch.start[1], 9))
        for branch in third.branches
        if branch.start[1] == branch.end[1] and branch.start[0] != branch.end[0]
    }
    assert crossbars == links


def test_the_cut_crosses_one_branch_per_cluster(third: dendrogram.Tree) -> None:
    assert third.cut is not None
    assert len(third.roots) == 4
    # every branch ends or starts at the cut
    assert not [b for b in third.branches if b.start[1] < third.cut < b.end[1]]
    below = {branch.colour for branch in third.branches if branch.end[1] < third.cut}
    assert below == set(style.CLUSTERS)


def test_clusters_have_colours_and_numbers_as_the_science_has_them(third: dendrogram.Tree) -> None:
    groups = atomicity.clusters(synthetic.universal(), 3)
    colours: dict[int, set[str]] = {}
    for branch in third.branches:
        if branch.start[1] == 0 and branch.start[0] == branch.end[0]:
            group = groups[third.names[int(branch.start[0])]]
            colours.setdefault(group, set()).add(branch.colour)
    assert sorted(map(len, colours.values())) == [1, 1, 1, 1]
    assert len(set.union(*colours.values())) == 4
    for number, root in enumerate(third.roots, start=1):
        members = [at for at, name in enumerate(third.names) if groups[name] == number]
        assert members[0] <= root <= members[-1]


def test_numbers_of_clusters_that_are_single_leaves_do_not_meet() -> None:
    names = synthetic.names()[:70]
    bits = synthetic.universal(2, 256).bits[:70].copy()
    bits[:, 0] = bits[:1, 0]
    for i in range(3):
        bits[i, 0] = False
        bits[i, 0, 200 + i] = True
    figure = dendrogram.draw(Masks(names, bits), (0,), synthetic.CAPTION)
    legible(figure)
    assert set("1234") <= set(texts(figure))


def test_empty_circuits_are_left_out_and_counted() -> None:
    masks = synthetic.emptied(synthetic.universal(), 3, keep=30)
    figure = dendrogram.draw(masks, (3, 5), synthetic.CAPTION)
    for one in (figure, heatmap.draw(masks, 3, synthetic.CAPTION)):
        legible(one)
        assert "76 of 106 circuits are empty" in said(one)
    # panels of different size keep their pitch
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_two_circuits_make_a_tree() -> None:
    few = synthetic.few("ast__Break", "builtin__len")
    for figure in (
        dendrogram.draw(few, (3,), synthetic.LONG_CAPTION),
        heatmap.draw(few, 3, synthetic.LONG_CAPTION),
    ):
        legible(figure)
        assert {"Break", "len"} <= set(texts(figure))


def test_equal_circuits_have_no_cut() -> None:
    bits = np.ones((3, 1, 8), dtype=np.bool_)
    same = Masks(("ast__For", "ast__If", "builtin__len"), bits)
    found = dendrogram.tree(same, 0)
    assert found is not None
    assert (found.height, found.cut, found.roots) == (0, None, ())
    legible(dendrogram.draw(same, (0,), synthetic.CAPTION))
    legible(heatmap.draw(same, 0, synthetic.CAPTION))


@pytest.mark.parametrize(
    ("keep", "layer", "sentence"),
    [
        (0, 3, "Every circuit is empty at layer 3."),
        (1, 3, "Only Break has a circuit at layer 3: nothing to compare."),
        (2, 8, "No layer 8: the model has layers 0 to 7."),
    ],
)
def test_a_dendrogram_of_nothing_says_so(keep: int, layer: int, sentence: str) -> None:
    few = synthetic.emptied(synthetic.few("ast__Break", "builtin__len"), 3, keep=keep)
    figure = dendrogram.draw(few, (layer,), synthetic.CAPTION)
    assert sentence in said(figure)
    assert TITLE in said(figure)
    legible(figure)


def test_the_words_say_where_the_atomic_concepts_fall() -> None:
    universal = synthetic.universal()
    words = dendrogram.in_words(universal, (3, 5))
    groups = atomicity.clusters(universal, 3)
    placed = sorted({groups[name] for name in atomicity.ATOMIC_CONCEPTS})
    assert words.startswith("Dendrograms of universal circuits. Layer 3: 106 circuits in clusters")
    assert f"6 atomic concepts in cluster{'s' * (len(placed) > 1)} {placed[0]}" in words
    assert "Layer 5: 106 circuits" in words
    assert words.endswith(".")
    assert ".." not in words
    emptied = synthetic.emptied(universal, 3)
    assert "Layer 3: every circuit is empty" in dendrogram.in_words(emptied, (3,))
