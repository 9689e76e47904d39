"""The tables of the report, against the same numbers computed by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from atlas_assets.stages.analyses import (
    compositionality,
    layer_profile,
    modularity,
    modularity_null,
    ockham,
    token_independence,
)
from atlas_assets.stages.analyses import marginalisation as robustness
from atlas_assets.stages.decomposition import decomposition
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.report.table import Table, show, table
from atlas_assets_tests.stages.figures import synthetic
from atlas_assets_tests.storage.samples import sample


def column(found: Table, name: str) -> list[str]:
    return [row[found.columns.index(name)] for row in found.rows]


def test_numbers_are_written_alike() -> None:
    found = table(
        "t",
        ["name", "n", "x", "mean |A|", "mixed"],
        [["a", 12345, 0.5, 39.04, 1], ["b", 0, 1.0, None, "x"]],
        places_of={"mean |A|": 1},
    )
    assert found.rows == (("a", "12,345", "0.5000", "39.0", "1"), ("b", "0", "1.0000", "–", "x"))
    assert found.numeric == {1, 2, 3}
    assert show(None) == "–"
    assert table("t", ["name"], []).rows == ()


def test_entanglement_by_layer() -> None:
    frame = synthetic.entanglement(50)
    found = compositionality.shown(frame)
    values = frame.filter(layer=4)["entanglement_index"].to_numpy()
    assert column(found, "layer") == ["layer 3", "layer 4"]
    assert column(found, "mean")[1] == f"{values.mean():.4f}"
    assert column(found, "share below 0.2")[1] == f"{(values < 0.2).mean():.4f}"
    assert column(found, "pairs") == ["50", "50"]


def test_the_most_and_the_least_entangled_pairs() -> None:
    rows = [("For", f"b{i:02}", layer, 40, i) for i in range(30) for layer in range(5)]
    rows.append(("If", "empty", 4, 0, 0))
    names = ["ast_node", "builtin_obj", "layer", "pair_size", "unexplained"]
    frame = pl.DataFrame(rows, schema=names, orient="row").with_columns(
        entanglement_index=(pl.col("unexplained") / pl.col("pair_size")).fill_nan(0.0)
    )
    found = compositionality.pairs_shown(frame)
    pairs = column(found, "pair")
    assert pairs[:2] == ["For + b29", "For + b28"]
    assert pairs[-2:] == ["For + b01", "For + b00"]
    assert len(pairs) == 20
    assert "layer 4" in found.caption
    assert "layer 1" in compositionality.pairs_shown(frame.filter(pl.col("layer") < 2)).caption


def test_similarity_within_a_type() -> None:
    universal = synthetic.universal(n_layers=2, width=256)
    matrices = ockham.jaccard_matrices(universal)
    found = ockham.shown(matrices)
    frame = ockham.ockham_index(universal).filter(type="builtin", layer=1)
    assert column(found, "builtins, mean")[1] == f"{frame['jaccard'].mean():.4f}"
    assert column(found, "builtins, largest")[1] == f"{frame['jaccard'].max():.4f}"
    assert column(found, "builtins, > 0.5")[1] == f"{(frame['jaccard'] > 0.5).sum():,}"
    assert "903 of AST nodes and 1,953 of builtins" in found.note
    top = ockham.most_similar_shown(matrices)
    best = ockham.ockham_index(universal).filter(layer=1).sort("jaccard", descending=True)
    assert top.rows[0][0] == f"{best['concept_a'][0]}, {best['concept_b'][0]}"
    assert top.rows[0][1] == f"{best['jaccard'][0]:.4f}"


def test_a_lonely_concept_has_nobody_to_be_similar_to() -> None:
    matrices = ockham.jaccard_matrices(Masks(("ast__For",), np.ones((1, 2, 4), dtype=np.bool_)))
    assert ockham.shown(matrices).rows[0] == ("layer 0", *(["–"] * 6))
    assert ockham.most_similar_shown(matrices).rows == ()


def test_sizes_with_one_half_and_all_pairs() -> None:
    bits = np.zeros((3, 1, 8), dtype=np.bool_)
    for row, size in enumerate((8, 6, 4)):
        bits[row, 0, :size] = True
    pairs = Masks(("For__a", "For__b", "For__c"), bits)
    frame = robustness.robustness(pairs, orders=6)
    found = robustness.shown(frame)
    assert column(found, "AST nodes, all") == ["4.0"]
    of_for = frame.filter(concept="ast__For")
    assert column(found, "AST nodes, half") == [f"{of_for['mean_size'][1]:.1f}"]
    assert column(found, "builtins, one pair") == column(found, "builtins, all") == ["6.0"]


def test_the_ranking_stands_beside_the_null() -> None:
    universal = synthetic.universal(n_layers=3, width=256)
    scores = modularity.scores(universal)
    null = modularity_null.permutation_null(universal, permutations=20)
    found = modularity.shown(scores, null)
    assert len(found.rows) == 20
    name = str(scores["index"][0])
    p_values = null.filter(object=name)["p_value"]
    assert column(found, "concept")[0] == name
    assert column(found, "smallest p-value")[0] == f"{p_values.min():.4f}"
    assert column(found, "null: p-value < 0.05")[0] == str((p_values < 0.05).sum())
    assert "20 permutations" in found.note
    alone = modularity.shown(scores, None)
    assert alone.columns == found.columns[:5]


def test_long_rankings_show_both_ends() -> None:
    frame = sample("token_independence_summary")
    long = pl.concat([frame.with_columns(object=pl.lit(f"ast__N{i:03}")) for i in range(30)])
    found = token_independence.summary_shown(long)
    assert len(found.rows) == 20
    assert found.rows[0][0] == "ast__N000"
    assert found.rows[-1][0] == f"ast__N{(long.height - 1) // frame.height:03}"
    assert len(token_independence.summary_shown(frame).rows) == frame.height


def test_profile_sweep_and_decomposition_keep_every_row() -> None:
    profile = layer_profile.shown(synthetic.profile())
    assert column(profile, "layer") == [f"layer {layer}" for layer in range(8)]
    assert column(profile, "pairs, mean")[3] == "280.0"
    summary = sample("summary")
    assert len(decomposition.summary_shown(summary).rows) == summary.height
    decomposed = decomposition.target_checker_shown(synthetic.target_checker())
    assert len(decomposed.rows) == 58
    assert decomposed.columns[1:] == tuple(f"layer {layer}" for layer in range(8))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "Every concept has a keyword."),
        (["ast__Dict", "builtin__abs"], "2 concepts have no keyword: Dict, abs."),
    ],
)
def test_concepts_without_a_keyword(names: list[str], said: str) -> None:
    frame = pl.DataFrame({"object": names}, schema={"object": pl.String})
    assert token_independence.no_keyword_shown(frame) == said
