"""The figure of circuit sizes at each layer."""

from __future__ import annotations

import polars as pl

from atlas_assets.stages.figures import layer_profile
from atlas_assets_tests.stages.figures import synthetic
from atlas_assets_tests.stages.figures.reading import TITLE, legible, said, texts, title


def test_the_layer_profile_shows_means_medians_and_ranges() -> None:
    figure = synthetic.drawn("layer_profile")
    legible(figure)
    assert title(figure)[:2] == ["Layer profile of circuit sizes", TITLE]
    assert texts(figure).count("layer") == texts(figure).count("circuit size, neurons") == 2
    means, ranges = figure.axes
    for line, kind in zip(means.lines, ("pair", "ast", "builtin"), strict=True):
        assert line.get_ydata().tolist() == list(synthetic.SIZES[kind])
    assert len({line.get_linestyle() for line in means.lines}) == 3
    assert len(ranges.collections) == 3
    assert "pairs (n = 1,276)" in texts(figure)


def test_a_profile_of_empty_circuits_without_ast_nodes() -> None:
    profile = synthetic.profile().filter(pl.col("type") != "ast")
    profile = profile.with_columns(pl.col("^.*_size$") * 0)
    figure = layer_profile.draw(profile, synthetic.CAPTION)
    assert "no AST nodes" in texts(figure)
    legible(figure)
    assert "no rows" in said(layer_profile.draw(profile.clear(), synthetic.CAPTION))


def test_the_words_list_the_means() -> None:
    assert "Pairs: 386.0, 499.0, 497.0, 280.0" in layer_profile.in_words(synthetic.profile())
