"""The figures drawn from the published tables."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.analyses import compositionality
from atlas_assets.stages.analyses import layer_profile as layer_profiles
from atlas_assets.stages.analyses import modularity as scores
from atlas_assets.stages.decomposition import decomposition
from atlas_assets.stages.figures import (
    concept_fraction,
    entanglement,
    layer_profile,
    modularity,
    style,
    sweep,
)
from atlas_assets.stages.figures.caption import Caption
from atlas_assets.stages.masks.masks import Masks, universal
from atlas_assets.stages.setting import REFERENCE
from atlas_assets_tests.stages.figures import synthetic
from atlas_assets_tests.stages.figures.reading import assert_legible, said, texts, title

TITLE = "model openai/circuit-sparsity · ε=0.5, C=0.8 · readout last_token"


def test_concept_fractions_are_the_published_means(caption: Caption) -> None:
    table = synthetic.target_checker()
    figure = concept_fraction.draw(table, caption)
    assert_legible(figure)
    assert title(figure)[:2] == ["Concept fraction by layer and type", TITLE]
    prose = said(figure)
    for part in ("layer", "concept fraction, |A ∖ B| / |A|", "AST (n = 24)", "builtins (n = 34)"):
        assert part in prose
    published = decomposition.summary({REFERENCE: table})
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata())]
    for line, column in zip(lines, ("ast", "blt"), strict=True):
        overall = published[f"{column}_concept_fraction"].item()
        assert np.mean(line.get_ydata()) == pytest.approx(overall, abs=5e-5)
    assert (
        len({line.get_marker() for line in lines})
        == len({line.get_linestyle() for line in lines})
        == 2
    )


@pytest.mark.parametrize(("kind", "absent"), [("ast", "builtins"), ("builtin", "AST")])
def test_a_missing_kind_is_said_to_be_missing(kind: str, absent: str, caption: Caption) -> None:
    table = synthetic.target_checker().filter(pl.col("target").str.starts_with(kind))
    figure = concept_fraction.draw(table, caption)
    assert f"no {absent} with a keyword" in texts(figure)
    assert_legible(figure)


def test_empty_circuits_count_as_zero_and_are_counted(caption: Caption) -> None:
    table = pl.DataFrame({"target": ["ast__For"], "L0": ["0 / 0 / 3"], "L1": ["1 / 1 / 0"]})
    figure = concept_fraction.draw(table, caption)
    assert "1 of 2 circuits are empty and count as 0." in said(figure)
    assert figure.axes[0].lines[0].get_ydata().tolist() == [0, 0.5]


def test_one_layer_and_all_zero_fractions_are_drawn(caption: Caption) -> None:
    table = pl.DataFrame({"target": ["ast__For", "builtin__len"], "L0": ["0 / 5 / 0"] * 2})
    figure = concept_fraction.draw(table, caption)
    assert_legible(figure)
    assert "AST 0.0% at layer 0, builtins 0.0% at layer 0" in said(figure)


def test_no_testable_concept_is_said(caption: Caption) -> None:
    figure = concept_fraction.draw(synthetic.target_checker().clear(), caption)
    assert "No concept of this grid has a keyword" in said(figure)
    assert TITLE in said(figure)


def test_a_malformed_table_is_refused(caption: Caption) -> None:
    with pytest.raises(ArtifactError, match="co / sh / to"):
        concept_fraction.draw(pl.DataFrame({"target": ["ast__For"], "L0": ["x"]}), caption)


def test_the_sweep_is_a_grid_with_a_bar_for_each_number(caption: Caption) -> None:
    summary = synthetic.summary()
    figure = sweep.draw(summary, Caption(caption.model, caption.readout))
    assert_legible(figure)
    drawn = texts(figure)
    settings = "ε ∈ {0.001, 0.1, 0.5}, C ∈ {0.2, 0.5, 0.8}"
    assert title(figure)[1] == f"model openai/circuit-sparsity · {settings} · readout last_token"
    assert len(figure.axes) == 9
    for row, axes in zip(summary.iter_rows(named=True), figure.axes, strict=True):
        widths = [bar.get_width() for bar in axes.patches]
        assert widths == [row["ast_concept_fraction"], row["blt_concept_fraction"]]
        assert f"{row['ast_concept_fraction']:.1%}" in drawn
    assert {"ε = 0.001", "ε = 0.5", "C = 0.2", "C = 0.8", "mean concept fraction"} <= set(drawn)
    hatches = {bar.get_hatch() for axes in figure.axes for bar in axes.patches}
    assert len(hatches) == 2


def test_the_reference_setting_is_framed(caption: Caption) -> None:
    figure = sweep.draw(synthetic.summary(), caption)
    framed = [axes.spines["top"].get_visible() for axes in figure.axes]
    assert framed == [False] * 8 + [True]
    assert "reference setting, ε=0.5, C=0.8" in said(figure)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (4, 6), (6, 2)])
def test_sweeps_of_other_shapes_are_legible(shape: tuple[int, int], caption: Caption) -> None:
    epsilons = tuple(float(value) for value in np.linspace(0.001, 0.9, shape[0]).round(3))
    consistencies = tuple(float(value) for value in np.linspace(0.1, 1.0, shape[1]).round(2))
    figure = sweep.draw(synthetic.summary(epsilons, consistencies), caption)
    assert len(figure.axes) == shape[0] * shape[1]
    assert_legible(figure)


def test_a_setting_outside_the_table_is_said_not_to_be_computed(caption: Caption) -> None:
    figure = sweep.draw(synthetic.summary().head(7), caption)
    assert texts(figure).count("not computed") == 2
    assert_legible(figure)


def test_a_null_fraction_is_no_bar(caption: Caption) -> None:
    nulls = synthetic.summary().with_columns(
        ast_concept_fraction=pl.lit(None, dtype=pl.Float64), blt_concept_fraction=pl.lit(1.0)
    )
    figure = sweep.draw(nulls, caption)
    assert texts(figure).count("no AST concept") == 9
    assert_legible(figure)


def test_an_empty_summary_is_said_to_be_empty(caption: Caption) -> None:
    assert "The summary has no setting." in said(sweep.draw(synthetic.summary().clear(), caption))


def test_the_layer_profile_shows_means_medians_and_ranges(caption: Caption) -> None:
    profile = synthetic.profile()
    figure = layer_profile.draw(profile, caption)
    assert_legible(figure)
    assert title(figure)[:2] == ["Layer profile of circuit sizes", TITLE]
    assert texts(figure).count("layer") == texts(figure).count("circuit size, neurons") == 2
    means, ranges = figure.axes
    for line, kind in zip(means.lines, ("pair", "ast", "builtin"), strict=True):
        assert line.get_ydata().tolist() == list(synthetic.SIZES[kind])
    assert len({line.get_linestyle() for line in means.lines}) == 3
    assert len(ranges.collections) == 3
    assert "pairs (n = 1,276)" in texts(figure)


def test_a_profile_of_empty_circuits_without_ast_nodes(caption: Caption) -> None:
    profile = synthetic.profile().filter(pl.col("type") != "ast")
    profile = profile.with_columns(pl.col("^.*_size$") * 0)
    figure = layer_profile.draw(profile, caption)
    assert "no AST nodes" in texts(figure)
    assert_legible(figure)
    assert "no rows" in said(layer_profile.draw(profile.clear(), caption))


def test_the_ranking_shows_the_first_twenty_in_their_order(caption: Caption) -> None:
    table = scores.scores(synthetic.universal())
    figure = modularity.draw(table, caption, n_layers=synthetic.N_LAYERS)
    assert_legible(figure)
    assert title(figure)[:2] == ["Relaxed modularity ranking", TITLE]
    assert "The first 20 of 106 concepts." in said(figure)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [style.bare(name) for name in table["index"].head(20)]
    for axes, trim in zip(figure.axes, scores.TRIMS, strict=True):
        assert [bar.get_width() for bar in axes.patches] == table[f"p={trim}"].head(20).to_list()
        assert axes.get_title(loc="left") == f"p = {trim}"
        assert axes.get_xlabel() == "significant layers"


def test_bars_of_builtins_are_hatched(caption: Caption) -> None:
    table = scores.scores(synthetic.universal()).head(8)
    figure = modularity.draw(table, caption, n_layers=8)
    hatched = [bool(bar.get_hatch()) for bar in figure.axes[0].patches]
    assert hatched == [name.startswith("builtin") for name in table["index"]]
    assert len(set(hatched)) == 2


def test_no_significant_circuit_is_said(caption: Caption) -> None:
    table = scores.scores(synthetic.universal().select(["ast__For", "builtin__len"]))
    figure = modularity.draw(table, caption, n_layers=1)
    assert "No circuit is significant at any layer." in said(figure)
    assert_legible(figure)
    empty = modularity.draw(table.clear(), caption, n_layers=1)
    assert "The score table has no concept." in said(empty)


def test_the_entanglement_histogram_counts_every_pair(caption: Caption) -> None:
    frame = synthetic.entanglement()
    figure = entanglement.draw(frame, 4, caption)
    assert_legible(figure)
    assert title(figure)[:2] == ["Entanglement index of pairs, layer 4", TITLE]
    values = frame.filter(layer=4)["entanglement_index"]
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == len(values)
    lines = [line.get_xdata()[0] for line in figure.axes[0].lines]
    assert lines == pytest.approx([values.mean(), values.median(), 0.2])
    assert {f"mean {values.mean():.4f}", f"median {values.median():.4f}", "pairs"} <= set(
        texts(figure)
    )
    assert f"{(values < 0.2).sum()} of 1,276 pairs" in said(figure)


def test_entanglement_of_empty_pairs_is_zero_and_counted(caption: Caption) -> None:
    frame = synthetic.entanglement(3).with_columns(
        entanglement_index=pl.lit(0.0), pair_size=pl.lit(0)
    )
    figure = entanglement.draw(frame, 3, caption)
    assert "3 of 3 pairs (100.00%) lie below 0.2. 3 empty pairs count as 0." in said(figure)
    assert_legible(figure)


def test_a_layer_without_pairs_is_said(caption: Caption) -> None:
    assert "No pair at layer 7." in said(entanglement.draw(synthetic.entanglement(2), 7, caption))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_the_ends_of_the_scale_are_in_view(value: float, caption: Caption) -> None:
    frame = synthetic.entanglement(5).with_columns(entanglement_index=pl.lit(value))
    figure = entanglement.draw(frame, 4, caption)
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 5
    low, high = figure.axes[0].get_xlim()
    assert low < value < high


def test_the_frames_of_the_analyses_are_drawn(caption: Caption) -> None:
    rng = np.random.default_rng(3)
    names = ("Break___isolated_", "For__len", "For__list", "If__len")
    pairs = Masks(names, rng.random((4, 3, 64)) < 0.5)
    concepts = universal(pairs)
    profile = layer_profiles.profile(pairs, concepts)
    assert_legible(layer_profile.draw(profile, caption))
    frame = compositionality.entanglement(pairs, concepts)
    figure = entanglement.draw(frame, 1, caption)
    assert_legible(figure)
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 4


def test_a_deep_model_has_legible_layers(caption: Caption) -> None:
    figure = concept_fraction.draw(synthetic.target_checker(n_layers=48), caption)
    assert_legible(figure)
    low, high = figure.axes[0].get_xlim()
    assert (low, high) == (-0.5, 47.5)
