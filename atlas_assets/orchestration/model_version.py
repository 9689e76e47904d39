"""The version of the model, as Dagster keeps it: what was made with another one is stale."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import dagster as dg

from atlas_assets.atlas.model import AtlasModel
from atlas_assets.errors import ModelError
from atlas_assets.orchestration.data_versions import model_version
from atlas_assets.settings import AtlasSettings
from atlas_assets.storage.provenance import Lineage
from atlas_assets.storage.store import AtlasStore

#: asset key of the model, which Dagster does not make
MODEL = "model"
# Dagster's own tag; it exports no name for it
DATA_VERSION_TAG = "dagster/data_version"


def announcing(model: AtlasModel, store: AtlasStore) -> dg.ResourceDefinition:
    """Return the model as a resource that tells Dagster its version before any step runs it.

    What a run makes is then recorded as made with this very model, also where no poll has looked
    at it before. A model that cannot be had is not announced; the step that runs it says why.
    """

    def resource(context: dg.InitResourceContext) -> AtlasModel:
        if context.instance is not None:
            announce_model(context.instance, store.expected())
        return model

    return dg.ResourceDefinition(resource)


def announce_model(instance: dg.DagsterInstance, lineage: Lineage) -> bool:
    """Report the model's version unless it is the one that Dagster knows already.

    Returns:
        Whether it was reported.
    """
    version = model_version(lineage)
    if version is None or version == announced_version(instance):
        return False
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            MODEL, metadata=_metadata(lineage), tags={DATA_VERSION_TAG: version}
        )
    )
    return True


def model_on_this_machine(settings: AtlasSettings, sha: str | None = None) -> AtlasModel:
    """Return the model without asking the Hub, for ticks that look at it again and again.

    Its digests are computed again only when the sizes or dates of its files have changed.
    """
    model = AtlasModel(settings, ask_hub=False, sha=sha)
    try:
        files = [path for path in sorted(model.source.folder.iterdir()) if path.is_file()]
    except ModelError:
        return model
    stats = [path.stat() for path in files]
    return _model_of(settings, sha, tuple((stat.st_size, stat.st_mtime_ns) for stat in stats))


@lru_cache(maxsize=1)
def _model_of(
    settings: AtlasSettings, sha: str | None, state: tuple[tuple[int, int], ...]
) -> AtlasModel:
    del state
    return AtlasModel(settings, ask_hub=False, sha=sha)


def announced_version(instance: dg.DagsterInstance) -> str | None:
    """Return the version of the model that Dagster knows, if it knows any."""
    event = instance.get_latest_materialization_event(dg.AssetKey(MODEL))
    found = event.asset_materialization if event else None
    return (found.tags or {}).get(DATA_VERSION_TAG) if found else None


def _metadata(lineage: Lineage) -> dict[str, Any]:
    known = {"readout": lineage.readout, "dtype": lineage.dtype}
    if lineage.model is not None:
        known.update(lineage.model.model_dump())
    return {name: value for name, value in known.items() if value is not None}
