"""Where an asset that runs the model keeps its finished shards, so that a re-run resumes."""

from __future__ import annotations

import hashlib

from atlas_assets.formats.catalog import ARTIFACTS
from atlas_assets.formats.shards import ShardStore
from atlas_assets.formats.store import AtlasStore
from atlas_assets.resources.model import AtlasModel
from atlas_assets.settings import AtlasSettings


def open_shards(
    store: AtlasStore, key: str, settings: AtlasSettings, model: AtlasModel
) -> ShardStore:
    """The shards of artifact ``key`` made by this very model, readout, precision and code.

    The fingerprint covers what the computation is about; `atlas_assets.science.extraction` adds
    the prompts and the batching. Data dirs that are not local folders get no shards on disk.
    """
    parts = (
        key,
        ARTIFACTS[key].code_version,
        model.identity.model_dump_json(),
        settings.readout,
        settings.dtype,
        model.loaded.device.type,
    )
    fingerprint = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return ShardStore(store.scratch(key), fingerprint)
