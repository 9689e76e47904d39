"""The figure of the distribution of the entanglement index."""

from __future__ import annotations

import polars as pl
import pytest

from atlas_assets.stages.figures import entanglement
from atlas_assets_tests.stages.figures import synthetic
from atlas_assets_tests.stages.figures.reading import TITLE, legible, said, texts, title


def test_the_histogram_counts_every_pair() -> None:
    figure = synthetic.drawn("entanglement")
    legible(figure)
    assert title(figure)[:2] == ["Entanglement index of pairs, layer 4", TITLE]
    values = synthetic.compositionality().filter(layer=4)["entanglement_index"]
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == len(values)
    lines = [line.get_xdata()[0] for line in figure.axes[0].lines]
    assert lines == pytest.approx([values.mean(), values.median(), 0.2])
    named = {f"mean {values.mean():.4f}", f"median {values.median():.4f}", "pairs"}
    assert named <= set(texts(figure))
    assert f"{(values < 0.2).sum()} of 1,276 pairs" in said(figure)


def test_empty_pairs_count_as_zero_and_are_counted() -> None:
    frame = synthetic.compositionality(3).with_columns(
        entanglement_index=pl.lit(0.0), pair_size=pl.lit(0)
    )
    figure = entanglement.draw(frame, 3, synthetic.CAPTION)
    assert "3 of 3 pairs (100.00%) lie below 0.2. 3 empty pairs count as 0." in legible(figure)
    assert "No pair at layer 7." in said(entanglement.draw(frame, 7, synthetic.CAPTION))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_the_ends_of_the_scale_are_in_view(value: float) -> None:
    frame = synthetic.compositionality(5).with_columns(entanglement_index=pl.lit(value))
    figure = entanglement.draw(frame, 4, synthetic.CAPTION)
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 5
    low, high = figure.axes[0].get_xlim()
    assert low < value < high


def test_the_words_give_mean_median_and_tail() -> None:
    table = pl.DataFrame({"layer": [4, 4, 4, 4], "entanglement_index": [0.1, 0.3, 0.5, 0.9]})
    assert entanglement.in_words(table, 4) == (
        "Histogram of the entanglement index of 4 pairs at layer 4. Mean 0.4500, median 0.4000, "
        "25.00% below 0.2."
    )
    assert entanglement.in_words(table, 2) == "No pair at layer 2."
