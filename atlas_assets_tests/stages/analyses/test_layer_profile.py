"""The layer profile against sets, circuit by circuit."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.analyses import layer_profile
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
    table = layer_profile.profile(pairs, concepts)
    assert table.schema == layer_profile.SCHEMA.polars
    assert table.rows() == naive.profile(from_bits(pairs), from_bits(concepts), pairs.n_layers)


def test_a_type_without_circuits_has_no_rows():
    pairs = Masks(("For__list",), np.ones((1, 2, 5), dtype=bool))
    table = layer_profile.profile(pairs, universal(pairs).select(["ast__For"]))
    assert table.rows() == [
        (layer, kind, 1, 5.0, 5.0, 5, 5) for layer in (0, 1) for kind in ("pair", "ast")
    ]


def test_masks_of_another_model_are_refused():
    pairs = Masks(("For__list",), np.ones((1, 2, 5), dtype=bool))
    other = Masks(("For__list",), np.ones((1, 3, 5), dtype=bool))
    with refused(ArtifactError, "2 layers of 5 neurons"):
        layer_profile.profile(pairs, universal(other))


def test_the_report_shows_means_and_medians_of_every_layer():
    shown = layer_profile.shown(synthetic.profile())
    assert column(shown, "layer") == [f"layer {layer}" for layer in range(8)]
    assert column(shown, "pairs, mean")[3] == "280.0"
