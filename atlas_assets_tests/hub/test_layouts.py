"""What the card says of an HDF5 file."""

from __future__ import annotations

from pathlib import Path

from atlas_assets.hub.layouts import hdf5_layout
from atlas_assets_tests.hub.fetching import MASKS


def test_layers_and_many_units_are_told_once(release: Path) -> None:
    assert hdf5_layout(release / "masks" / MASKS) == (
        "/metadata: attributes consistency_thresh, epsilon, n_layers, n_pairs",
        "/metadata/ast_nodes: string (3)",
        "/metadata/builtin_objs: string (3)",
        "/metrics/jaccard_ast_matrix: float64 (3 × 3)",
        "/metrics/jaccard_builtin_matrix: float64 (3 × 3)",
        "/pair_masks/layer_0 … layer_5/For__len … Import___isolated_ (5): bool (16)",
        "/universal_masks/layer_0 … layer_5/ast__For … builtin__list (6): bool (16)",
    )
    counts = hdf5_layout(release / "12_object_activations.h5")[-1]
    assert counts == "/n_prompts/For__len … Import___isolated_ (5): int64, one value"
