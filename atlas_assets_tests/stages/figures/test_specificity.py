"""The matrix of what ablation costs: own values on the diagonal, none where nothing was run."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from atlas_assets.stages.figures import specificity, style
from atlas_assets_tests.stages.figures import synthetic
from atlas_assets_tests.stages.figures.reading import TITLE, legible, texts


def test_the_figure_shows_the_rises_less_those_of_others_around_zero() -> None:
    figure = synthetic.drawn("specificity")
    legible(figure)
    image = figure.axes[0].images[0]
    low, high = image.get_clim()
    assert low == -high
    shown = np.asarray(image.get_array())
    table = synthetic.rises().filter(definition="contrastive")
    rise = {(ablated, of): value for _, ablated, of, value, _ in table.rows()}
    names = synthetic.names()
    for row in (0, 42, 43, 105):
        others = [rise[names[row], of] for of in names if of != names[row]]
        wanted = [rise[names[row], of] - sum(others) / 105 for of in names]
        assert shown[row] == pytest.approx(wanted)
    drawn = texts(figure)
    assert TITLE in drawn
    assert "Rise of the loss where a circuit is ablated: contrastive" in drawn
    assert {style.bare(name) for name in names} <= set(drawn)


def test_couples_that_were_not_run_have_no_value() -> None:
    few = synthetic.names()[:12]
    table = synthetic.rises().filter(
        pl.col("concept").is_in(few)
        & pl.col("prompts_of").is_in(few)
        & (pl.col("concept") <= pl.col("prompts_of"))
    )
    names, values = specificity.matrix(table.filter(definition="matched"))
    assert names == few
    known = np.triu(np.ones((12, 12), dtype=np.bool_))
    known[11] = False  # it has no prompts of others to be held against
    assert (np.isnan(values) == ~known).all()
    legible(specificity.draw(table, "matched", synthetic.CAPTION))
    assert "12 circuits" in specificity.in_words(table)


def test_the_words_tell_circuits_that_are_specific_from_those_that_are_not() -> None:
    words = specificity.in_words(synthetic.rises())
    assert "contrastive: on the diagonal +0.50" in words
    assert "106 of 106 circuits cost their own concept most. matched: on the diagonal " in words
    assert words.endswith(".")
    assert ".." not in words
