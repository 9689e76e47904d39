"""Wires everything; the only module that does.

`defs` is what Dagster loads; it reads the settings from the environment when Dagster asks for it.
`build_definitions` gives fresh definitions for any settings, for tests and for embedding.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import dagster as dg

from atlas_assets.atlas.open import open_to_build
from atlas_assets.atlas.series import checkpoints
from atlas_assets.hub_client.client import HubClient
from atlas_assets.orchestration.assets import assets_of
from atlas_assets.orchestration.automation.fetching import fetch_job
from atlas_assets.orchestration.automation.follow import follow_sensor
from atlas_assets.orchestration.automation.jobs import atlas_jobs
from atlas_assets.orchestration.automation.model_watch import model_spec, poll_schedule, poll_sensor
from atlas_assets.orchestration.automation.publishing import (
    hub_sync_sensor,
    publish_job,
    publish_schedule,
)
from atlas_assets.orchestration.checks.claims import claim_checks
from atlas_assets.orchestration.checks.integrity import integrity_checks
from atlas_assets.orchestration.data_versions import announcing
from atlas_assets.orchestration.io_managers.base import io_managers
from atlas_assets.orchestration.partitions import partitions_of
from atlas_assets.orchestration.series import series_definitions
from atlas_assets.orchestration.version import version_asset
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.catalog import definitions_of
from atlas_assets.stages.own_files import require_own_files

#: by the setting; in one process the model is loaded once, and a laptop's memory holds one copy of
#: everything
EXECUTORS = {"in_process": dg.in_process_executor, "multiprocess": dg.multiprocess_executor}


def build_definitions(settings: AtlasSettings) -> dg.Definitions:
    """Fresh definitions of one atlas: assets, jobs, what starts them, resources.

    Where the settings name several checkpoints, they are those of an atlas of each.
    """
    series = checkpoints(settings)
    if series:
        return series_definitions(settings, series, build_definitions)
    partitions = partitions_of(settings.sweep, definitions_of(settings))
    resources = build_resources(settings)
    resources["model"] = announcing(resources["model"], resources["store"])
    resources["settings"] = _examined(settings)
    integrity = integrity_checks(settings, partitions)
    publish = publish_job()
    return dg.Definitions(
        assets=[
            model_spec(settings),
            *assets_of(settings, partitions, integrity, resources),
            version_asset(settings),
        ],
        asset_checks=[*integrity, *claim_checks()],
        jobs=[*atlas_jobs(settings.sweep), fetch_job(), publish],
        schedules=[poll_schedule(settings), publish_schedule(settings, publish, resources["hub"])],
        sensors=[
            poll_sensor(settings),
            follow_sensor(settings),
            hub_sync_sensor(settings, publish, resources["hub"]),
        ],
        resources=resources,
        executor=EXECUTORS[settings.executor],
        metadata={"settings": dg.MetadataValue.json(settings.model_dump(mode="json"))},
    )


def build_resources(settings: AtlasSettings) -> dict[str, Any]:
    """Settings, model, the atlas's folder, and an IO manager per file format."""
    store, model = open_to_build(settings)
    return {
        "settings": settings,
        "model": model,
        "store": store,
        "hub": HubClient(),
        **io_managers(store),
    }


def _examined(settings: AtlasSettings) -> dg.ResourceDefinition:
    """The settings as a resource; where own files cannot be used, no step of a run begins."""

    def resource(_context: dg.InitResourceContext) -> AtlasSettings:
        require_own_files(settings)
        return settings

    return dg.ResourceDefinition(resource)


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions of the atlas that the environment describes."""
    return _in_force(AtlasSettings.from_env())


@lru_cache(maxsize=1)
def _in_force(settings: AtlasSettings) -> dg.Definitions:
    # Dagster's command line asks for the definitions half a dozen times on its way to a run
    return build_definitions(settings)
