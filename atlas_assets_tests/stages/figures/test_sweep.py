"""The figure of the sweep, a panel per setting."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from atlas_assets.stages.figures import sweep
from atlas_assets_tests.stages.figures import synthetic
from atlas_assets_tests.stages.figures.reading import legible, said, texts, title


def test_the_sweep_is_a_grid_with_a_bar_for_each_number() -> None:
    summary, figure = synthetic.summary(), synthetic.drawn("sweep")
    legible(figure)
    drawn = texts(figure)
    settings = "ε ∈ {0.001, 0.1, 0.5}, C ∈ {0.2, 0.5, 0.8}"
    assert title(figure)[1] == f"model openai/circuit-sparsity · {settings} · readout last_token"
    assert len(figure.axes) == 9
    for row, axes in zip(summary.iter_rows(named=True), figure.axes, strict=True):
        widths = [bar.get_width() for bar in axes.patches]
        assert widths == [row["ast_concept_fraction"], row["blt_concept_fraction"]]
        assert f"{row['ast_concept_fraction']:.1%}" in drawn
    assert {"ε = 0.001", "ε = 0.5", "C = 0.2", "C = 0.8", "mean concept fraction"} <= set(drawn)
    assert len({bar.get_hatch() for axes in figure.axes for bar in axes.patches}) == 2


def test_the_reference_setting_is_framed() -> None:
    figure = synthetic.drawn("sweep")
    framed = [axes.spines["top"].get_visible() for axes in figure.axes]
    assert framed == [False] * 8 + [True]
    assert "reference setting, ε=0.5, C=0.8" in said(figure)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (4, 5)])
def test_sweeps_of_other_shapes_are_legible(shape: tuple[int, int]) -> None:
    epsilons = tuple(float(value) for value in np.linspace(0.001, 0.9, shape[0]).round(3))
    consistencies = tuple(float(value) for value in np.linspace(0.1, 1.0, shape[1]).round(2))
    figure = sweep.draw(synthetic.summary(epsilons, consistencies), synthetic.CAPTION)
    assert len(figure.axes) == shape[0] * shape[1]
    legible(figure)


def test_what_was_not_computed_is_no_bar() -> None:
    nulls = synthetic.summary((0.1, 0.5), (0.5, 0.8)).with_columns(
        ast_concept_fraction=pl.lit(None, dtype=pl.Float64), blt_concept_fraction=pl.lit(1.0)
    )
    figure = sweep.draw(nulls.head(3), synthetic.CAPTION)
    assert texts(figure).count("no AST concept") == 3
    assert texts(figure).count("not computed") == 1
    legible(figure)
    assert "The summary has no setting." in said(sweep.draw(nulls.clear(), synthetic.CAPTION))


def test_the_words_say_which_mean_is_absent() -> None:
    summary = synthetic.summary((0.5,), (0.8,)).with_columns(
        blt_concept_fraction=pl.lit(None, dtype=pl.Float64)
    )
    assert "ε=0.5, C=0.8: AST nodes 46.6%, builtins none." in sweep.in_words(summary)
