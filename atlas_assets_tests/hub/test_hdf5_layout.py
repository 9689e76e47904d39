"""What is in an HDF5 file, as the manifest tells it."""

from __future__ import annotations

from pathlib import Path

from atlas_assets.hub.hdf5_layout import hdf5_layout
from atlas_assets_tests.hub.fetching import MASKS
from atlas_assets_tests.storage import samples


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


def test_layers_that_are_datasets_are_told_once(tmp_path: Path) -> None:
    store = samples.store_at(tmp_path)
    written = store.write("object_activations", samples.in_blocks(), inputs={})
    lines = hdf5_layout(Path(written.path.path))
    assert lines[0] == "/activations/layer_0 … layer_5: float32 (5 × 19)"
    assert "/metadata/units: string (5)" in lines
