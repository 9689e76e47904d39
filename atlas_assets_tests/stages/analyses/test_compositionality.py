"""The entanglement index against sets, pair by pair."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.analyses import compositionality
from atlas_assets.stages.masks.masks import Masks, universal
from atlas_assets_tests.oracles import analyses_naive as naive
from atlas_assets_tests.oracles.atlas_naive import from_bits
from atlas_assets_tests.stages.figures import synthetic
from atlas_assets_tests.stages.random_atlas import column, masks, pair_names, refused


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 30))
def test_equals_the_naive_table_on_any_cut_of_the_grid(seed, n):
    rng = np.random.default_rng(seed)
    pairs = masks(rng, pair_names(rng, n), width=int(rng.integers(1, 40)))
    concepts = universal(pairs)
    # the pairs' own universal masks, and those of a larger grid, which the pairs do not contain
    for given_ in (concepts, masks(rng, concepts.names, width=pairs.width)):
        table = compositionality.entanglement(pairs, given_)
        assert table.schema == compositionality.SCHEMA.polars
        assert table.rows() == naive.entanglement(from_bits(pairs), from_bits(given_))


def test_masks_of_another_grid_or_model_are_refused():
    pairs = Masks(("For__list",), np.ones((1, 2, 5), dtype=bool))
    with pytest.raises(ArtifactError, match="builtin__list"):
        compositionality.entanglement(pairs, universal(pairs).select(["ast__For"]))
    other = Masks(("For__list",), np.ones((1, 2, 6), dtype=bool))
    with refused(ArtifactError, "2 layers of 5 neurons"):
        compositionality.entanglement(pairs, universal(other))


def test_entanglement_by_layer() -> None:
    frame = synthetic.compositionality(50)
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


def test_of_an_own_concept_its_universal_mask_alone_explains_its_units():
    bits = np.array([[[1, 1, 0, 1]], [[1, 0, 1, 0]], [[0, 0, 0, 0]]], dtype=bool)
    pairs = Masks(("own__A__one", "own__A__two", "own__B C__one"), bits)
    table = compositionality.entanglement(pairs, universal(pairs))
    compositionality.SCHEMA.check(table, where="the table")
    assert table.columns[:2] == ["concept", "unit"]
    assert table.rows() == [
        ("A", "one", 0, 3, 2, 2 / 3),
        ("A", "two", 0, 2, 1, 1 / 2),
        ("B C", "one", 0, 0, 0, 0.0),
    ]
    assert column(compositionality.pairs_shown(table), "pair") == ["A + one", "A + two"]
