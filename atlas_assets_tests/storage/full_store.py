"""An atlas of every artifact in a store, from the samples."""

from __future__ import annotations

from pathlib import Path

from upath import UPath

from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.masks.masks import universal_table
from atlas_assets.stages.setting import Setting, grid
from atlas_assets.storage.provenance import Lineage
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.storage.samples import LINEAGE, SETTING, objects, sample

SWEEP = grid([0.001, 0.5], [0.8])
OTHER = LINEAGE.model_copy(update={"readout": "published"})


def store_at(root: Path | UPath, expected: Lineage = LINEAGE) -> AtlasStore:
    return AtlasStore(UPath(root), lambda: expected, SWEEP)


def cells(key: str) -> tuple[Setting | None, ...]:
    return SWEEP if ARTIFACTS[key].partitioned else (None,)


def fill(store: AtlasStore) -> None:
    """Writes every artifact, in the order of the pipeline."""
    for key in ARTIFACTS:
        if key == "masks":
            continue
        for setting in cells(key):
            store.write(key, sample(key, setting or SETTING), setting)
        if key == "token_checker_masks":
            table = universal_table({setting: objects(setting).universal for setting in SWEEP})
            store.write("masks", table)
