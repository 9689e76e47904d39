"""What figures show, in words: the numbers are those of the tables."""

from __future__ import annotations

import polars as pl
import pytest

from atlas_assets.stages.analyses import modularity as scores
from atlas_assets.stages.analyses.atomicity import ATOMIC_CONCEPTS, clusters
from atlas_assets.stages.figures import (
    concept_fraction,
    dendrogram,
    entanglement,
    heatmap,
    layer_profile,
    modularity,
    sweep,
)
from atlas_assets.stages.masks.similarity import jaccard
from atlas_assets_tests.stages.figures import synthetic


def test_the_dendrogram_says_where_the_atomic_concepts_fall() -> None:
    universal = synthetic.universal()
    words = dendrogram.in_words(universal, (3, 5))
    groups = clusters(universal, 3)
    placed = sorted({groups[name] for name in ATOMIC_CONCEPTS})
    assert words.startswith("Dendrograms of universal circuits. Layer 3: 106 circuits in clusters")
    assert f"6 atomic concepts in cluster{'s' * (len(placed) > 1)} {placed[0]}" in words
    assert "Layer 5: 106 circuits" in words


def test_an_empty_layer_is_said_to_be_empty() -> None:
    emptied = synthetic.emptied(synthetic.universal(), 3)
    assert "Layer 3: every circuit is empty" in dendrogram.in_words(emptied, (3,))
    lonely = synthetic.emptied(synthetic.universal(), 3, keep=1)
    assert "fewer than two circuits are not empty" in heatmap.in_words(lonely, (3,))


def test_the_heatmap_names_its_most_similar_circuits() -> None:
    universal = synthetic.cut(synthetic.universal(), "ast__For", "ast__While", "builtin__len")
    matrix = jaccard(universal.bits[:, 3])
    words = heatmap.in_words(universal, (3,))
    pairs = {("For", "While"): matrix[0, 1], ("For", "len"): matrix[0, 2]}
    pairs[("While", "len")] = matrix[1, 2]
    (one, other), largest = max(pairs.items(), key=lambda item: item[1])
    assert f"mean similarity {sum(pairs.values()) / 3:.3f}" in words
    assert f"largest {largest:.3f} between {one} and {other}" in words


def test_fractions_are_listed_by_layer() -> None:
    table = pl.DataFrame(
        {
            "target": ["ast__For", "ast__If", "builtin__len"],
            "L0": ["1 / 1 / 0", "0 / 2 / 0", "1 / 3 / 9"],
            "L1": ["0 / 0 / 0", "2 / 0 / 0", "0 / 1 / 0"],
        }
    )
    assert concept_fraction.in_words(table) == (
        "Line plot of mean concept fraction by layer, from layer 0. AST nodes: 25.0%, 50.0%. "
        "Builtins: 25.0%, 0.0%."
    )
    assert "Builtins" not in concept_fraction.in_words(table[:2])


def test_the_sweep_says_which_mean_is_absent() -> None:
    summary = synthetic.summary((0.5,), (0.8,)).with_columns(
        blt_concept_fraction=pl.lit(None, dtype=pl.Float64)
    )
    assert "ε=0.5, C=0.8: AST nodes 46.6%, builtins none." in sweep.in_words(summary)


def test_profile_and_ranking_list_their_numbers() -> None:
    assert "Pairs: 386.0, 499.0, 497.0, 280.0" in layer_profile.in_words(synthetic.profile())
    ranking = scores.scores(synthetic.universal())
    words = modularity.in_words(ranking)
    first = ranking.row(0, named=True)
    name = first["index"].partition("__")[2]
    assert words.count(":") == 5
    assert f"{name}: {first['p=0.0']}, {first['p=0.05']}" in words


def test_the_distribution_gives_mean_median_and_tail() -> None:
    table = pl.DataFrame({"layer": [4, 4, 4, 4], "entanglement_index": [0.1, 0.3, 0.5, 0.9]})
    assert entanglement.in_words(table, 4) == (
        "Histogram of the entanglement index of 4 pairs at layer 4. Mean 0.4500, median 0.4000, "
        "25.00% below 0.2."
    )
    assert entanglement.in_words(table, 2) == "No pair at layer 2."


@pytest.mark.parametrize("layers", [(3,), (3, 5)])
def test_every_text_ends_as_a_sentence(layers: tuple[int, ...]) -> None:
    universal = synthetic.universal()
    for words in (dendrogram.in_words(universal, layers), heatmap.in_words(universal, layers)):
        assert words.endswith(".")
        assert ".." not in words
