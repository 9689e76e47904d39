"""The sample atlas with circuits of every definition and their wiring."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from atlas_assets.atlas.open import open_with_model
from atlas_assets.stages.circuits import circuits, wiring
from atlas_assets.stages.masks.masks import Masks
from atlas_assets_tests import sample_atlas
from atlas_assets_tests.storage.samples import CONCEPTS, LAYERS, WIDTH, block_weights


def wire(data_dir: Path, share: float = 0.2) -> dict[str, Masks]:
    """Write random circuits and their wiring; return the circuits by definition."""
    store = open_with_model(sample_atlas.settings_in(data_dir))
    found = {}
    for seed, definition in enumerate(store.definitions):
        bits = np.random.default_rng(seed).random((len(CONCEPTS), LAYERS, WIDTH)) < 0.3
        found[str(definition)] = Masks(CONCEPTS, bits)
        # these follow from nothing
        table = circuits.to_table(found[str(definition)])
        store.write("circuits", table, definition, inputs={})
    wanted = {name: found[name] for name in wiring.WIRED}
    table = wiring.wiring(wanted, block_weights(share))
    store.write("circuit_wiring", table)
    none = wiring.EDGES.polars.to_frame()
    counted = none if table.is_empty() else wiring.edges(table, wiring.WIRED, CONCEPTS)
    store.write("circuit_edges", counted)
    return found


def edges_in(data_dir: Path) -> pl.DataFrame:
    return pl.read_parquet(data_dir / sample_atlas.NAME / "circuit_wiring.parquet")
