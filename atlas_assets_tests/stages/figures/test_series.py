"""The figure of circuits over training."""

from __future__ import annotations

import polars as pl

from atlas_assets.stages.figures import series
from atlas_assets.stages.series import SERIES_SCHEMA
from atlas_assets_tests.stages.figures import synthetic
from atlas_assets_tests.stages.figures.reading import legible, texts, title

ROWS = [
    (f"step{step}", step, kind, 0.5, 0.8, 3, 0, size, fraction, None, like)
    for step, size, like in ((100, 4.0, 0.4), (1000, 6.0, 1.0))
    for kind, fraction in (("ast", 0.25), ("builtin", None))
]
TABLE = pl.DataFrame(ROWS, schema=SERIES_SCHEMA.polars, orient="row")


def test_a_line_per_type_over_the_steps() -> None:
    figure = series.draw(TABLE, synthetic.CAPTION)
    legible(figure)
    assert title(figure)[0] == "Circuits over training"
    size, fraction, like = figure.axes
    for axes, of_ast in ((size, [4, 6]), (fraction, [0.25, 0.25]), (like, [0.4, 1])):
        assert axes.lines[0].get_xdata().tolist() == [100, 1000]
        assert axes.lines[0].get_ydata().tolist() == of_ast
    assert texts(figure).count("step") == 3


def test_checkpoints_without_numbers_stand_in_their_order() -> None:
    figure = series.draw(TABLE.with_columns(step=None), synthetic.CAPTION)
    assert figure.axes[0].lines[0].get_xdata().tolist() == [1, 2]
    assert texts(figure).count("checkpoint") == 3


def test_the_figure_says_what_it_shows() -> None:
    drawn = series.make(TABLE, synthetic.CAPTION)
    assert "step100, AST nodes: 4.0 neurons, 25.0% concept fraction" in drawn.description
    assert "builtins: 6.0 neurons, no concept fraction, Jaccard 1.00" in drawn.description
    assert drawn == series.make(TABLE, synthetic.CAPTION)
