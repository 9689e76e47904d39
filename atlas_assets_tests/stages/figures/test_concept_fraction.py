"""The figure of concept fractions by layer and type."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.decomposition import decomposition
from atlas_assets.stages.figures import concept_fraction
from atlas_assets.stages.setting import REFERENCE
from atlas_assets_tests.stages.figures import synthetic
from atlas_assets_tests.stages.figures.reading import TITLE, legible, said, texts, title


def test_concept_fractions_are_the_published_means() -> None:
    figure = synthetic.drawn("concept_fraction")
    legible(figure)
    assert title(figure)[:2] == ["Concept fraction by layer and type", TITLE]
    prose = said(figure)
    for part in ("layer", "concept fraction, |A ∖ B| / |A|", "AST (n = 24)", "builtins (n = 34)"):
        assert part in prose
    published = decomposition.summary({REFERENCE: synthetic.target_checker()})
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata())]
    for line, column in zip(lines, ("ast", "blt"), strict=True):
        overall = published[f"{column}_concept_fraction"].item()
        assert np.mean(line.get_ydata()) == pytest.approx(overall, abs=5e-5)
    assert len({line.get_marker() for line in lines}) == 2
    assert len({line.get_linestyle() for line in lines}) == 2


@pytest.mark.parametrize(("kind", "absent"), [("ast", "builtins"), ("builtin", "AST")])
def test_a_missing_kind_is_said_to_be_missing(kind: str, absent: str) -> None:
    table = synthetic.target_checker().filter(pl.col("target").str.starts_with(kind))
    figure = concept_fraction.draw(table, synthetic.CAPTION)
    assert f"no {absent} with a keyword" in texts(figure)
    legible(figure)


def test_empty_circuits_count_as_zero_and_are_counted() -> None:
    table = pl.DataFrame({"target": ["ast__For"], "L0": ["0 / 0 / 3"], "L1": ["1 / 1 / 0"]})
    figure = concept_fraction.draw(table, synthetic.CAPTION)
    assert "1 of 2 circuits are empty and count as 0." in said(figure)
    assert figure.axes[0].lines[0].get_ydata().tolist() == [0, 0.5]


def test_models_of_one_and_of_many_layers_are_legible() -> None:
    table = pl.DataFrame({"target": ["ast__For", "builtin__len"], "L0": ["0 / 5 / 0"] * 2})
    figure = concept_fraction.draw(table, synthetic.CAPTION)
    assert "AST 0.0% at layer 0, builtins 0.0% at layer 0" in legible(figure)
    deep = concept_fraction.draw(synthetic.target_checker(n_layers=48), synthetic.CAPTION)
    legible(deep)
    assert deep.axes[0].get_xlim() == (-0.5, 47.5)


def test_tables_without_anything_to_draw() -> None:
    figure = concept_fraction.draw(synthetic.target_checker().clear(), synthetic.CAPTION)
    assert "No concept of this grid has a keyword" in said(figure)
    assert TITLE in said(figure)
    with pytest.raises(ArtifactError, match="co / sh / to"):
        concept_fraction.draw(
            pl.DataFrame({"target": ["ast__For"], "L0": ["x"]}), synthetic.CAPTION
        )


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
