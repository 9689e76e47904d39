"""The figure of the modularity ranking."""

from __future__ import annotations

from atlas_assets.stages.analyses import modularity as analysis
from atlas_assets.stages.figures import modularity, style
from atlas_assets_tests.stages.figures import synthetic
from atlas_assets_tests.stages.figures.reading import TITLE, legible, said, title


def test_the_ranking_shows_the_first_twenty_in_their_order() -> None:
    table, figure = analysis.scores(synthetic.universal()), synthetic.drawn("modularity")
    legible(figure)
    assert title(figure)[:2] == ["Relaxed modularity ranking", TITLE]
    assert "The first 20 of 106 concepts." in said(figure)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [style.bare(name) for name in table["index"].head(20)]
    for axes, trim in zip(figure.axes, analysis.TRIMS, strict=True):
        assert [bar.get_width() for bar in axes.patches] == table[f"p={trim}"].head(20).to_list()
        assert axes.get_title(loc="left") == f"p = {trim}"
        assert axes.get_xlabel() == "significant layers"
    hatched = [bool(bar.get_hatch()) for bar in figure.axes[0].patches]
    assert hatched == [name.startswith("builtin") for name in table["index"].head(20)]
    assert len(set(hatched)) == 2


def test_no_significant_circuit_is_said() -> None:
    table = analysis.scores(synthetic.universal().select(["ast__For", "builtin__len"]))
    figure = modularity.draw(table, synthetic.CAPTION, n_layers=1)
    assert "No circuit is significant at any layer." in legible(figure)
    empty = modularity.draw(table.clear(), synthetic.CAPTION, n_layers=1)
    assert "The score table has no concept." in said(empty)


def test_the_words_list_the_first_five() -> None:
    ranking = analysis.scores(synthetic.universal())
    words = modularity.in_words(ranking)
    first = ranking.row(0, named=True)
    name = first["index"].partition("__")[2]
    assert words.count(":") == 5
    assert f"{name}: {first['p=0.0']}, {first['p=0.05']}" in words
