"""Jaccard matrices and the Ockham index against sets, couple by couple."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.stages.analyses import ockham
from atlas_assets.stages.masks.masks import JACCARD_LAYER, Masks, with_universals
from atlas_assets.stages.setting import REFERENCE
from atlas_assets_tests.oracles import analyses_naive as naive
from atlas_assets_tests.oracles.atlas_naive import from_bits
from atlas_assets_tests.stages.figures import synthetic
from atlas_assets_tests.stages.random_atlas import column, concept_names, masks, pair_names

seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=60)
@given(seed=seeds, n=st.integers(0, 25), width=st.integers(1, 40))
def test_equals_the_naive_table_on_any_cut_of_the_grid(seed, n, width):
    concepts = masks(np.random.default_rng(seed), concept_names(n), width=width)
    table = ockham.ockham_index(concepts)
    circuits = from_bits(concepts)
    assert table.schema == ockham.SCHEMA.polars
    assert table.rows() == naive.ockham_index(circuits, concepts.n_layers)


@settings(deadline=None, max_examples=40)
@given(seed=seeds, n=st.integers(1, 20))
def test_matrices_hold_the_tables_values(seed, n):
    concepts = masks(np.random.default_rng(seed), concept_names(n))
    matrices = ockham.jaccard_matrices(concepts)
    assert sorted(matrices.names["ast"] + matrices.names["builtin"]) == list(concepts.names)
    for kind, layer, a, b, similarity, index in ockham.ockham_index(concepts).rows():
        row, column = (matrices.names[kind].index(name) for name in (a, b))
        assert matrices.values[kind][layer, row, column] == similarity
        assert matrices.values[kind][layer, column, row] == similarity
        assert 0 <= index <= 1


def test_matrices_at_the_published_layer_are_those_of_the_mask_files():
    rng = np.random.default_rng(3)
    pairs = masks(rng, pair_names(rng, 22), n_layers=6)
    found = with_universals(REFERENCE, pairs)
    matrices = ockham.jaccard_matrices(found.universal)
    assert np.array_equal(matrices.values["ast"][JACCARD_LAYER], found.matrices["ast"])
    assert np.array_equal(matrices.values["builtin"][JACCARD_LAYER], found.matrices["builtin"])


def test_similarity_within_a_type() -> None:
    concepts = synthetic.universal(n_layers=2, width=256)
    matrices = ockham.jaccard_matrices(concepts)
    found = ockham.shown(matrices)
    frame = ockham.ockham_index(concepts).filter(type="builtin", layer=1)
    assert column(found, "builtins, mean")[1] == f"{frame['jaccard'].mean():.4f}"
    assert column(found, "builtins, largest")[1] == f"{frame['jaccard'].max():.4f}"
    assert column(found, "builtins, > 0.5")[1] == f"{(frame['jaccard'] > 0.5).sum():,}"
    assert "903 of AST nodes and 1,953 of builtins" in found.note
    top = ockham.most_similar_shown(matrices)
    best = ockham.ockham_index(concepts).filter(layer=1).sort("jaccard", descending=True)
    assert top.rows[0][0] == f"{best['concept_a'][0]}, {best['concept_b'][0]}"
    assert top.rows[0][1] == f"{best['jaccard'][0]:.4f}"


def test_a_lonely_concept_has_nobody_to_be_similar_to() -> None:
    matrices = ockham.jaccard_matrices(Masks(("ast__For",), np.ones((1, 2, 4), dtype=np.bool_)))
    assert matrices.names == {"ast": ("ast__For",), "builtin": ()}
    assert matrices.values["builtin"].shape == (2, 0, 0)
    assert ockham.shown(matrices).rows[0] == ("layer 0", *(["–"] * 6))
    assert ockham.most_similar_shown(matrices).rows == ()
