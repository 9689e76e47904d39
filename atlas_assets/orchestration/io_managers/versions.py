"""Versions of content, as Dagster keeps them: what it knows to be stale rests on these."""

from __future__ import annotations

from typing import Any

import dagster as dg

from atlas_assets.orchestration.data_versions import model_version
from atlas_assets.stages.artifact import Artifact
from atlas_assets.storage.provenance import Lineage

#: asset key of the model, which Dagster does not make
MODEL = "model"
# Dagster's own tag; it exports no name for it
DATA_VERSION_TAG = "dagster/data_version"


def report_version(context: dg.OutputContext, version: str) -> None:
    """Makes ``version`` the data version of what the step materialises."""
    if context.has_asset_key:
        context.step_context.set_data_version(context.asset_key, dg.DataVersion(version))


def report_model(context: dg.OutputContext, artifact: Artifact, lineage: Lineage | None) -> None:
    """Tells Dagster which model was run, where it believes another one, or none, to be current.

    The output of the step is then recorded as made with this very model.
    """
    if not artifact.runs_model or lineage is None or not context.has_asset_key:
        return
    step = context.step_context
    if announce_model(step.instance, lineage):
        # Dagster has looked the model's version up when the step began
        step.wipe_input_asset_version_info(dg.AssetKey(MODEL))


def announce_model(instance: dg.DagsterInstance, lineage: Lineage) -> bool:
    """Reports the model's version unless it is the one that Dagster knows already.

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


def announced_version(instance: dg.DagsterInstance) -> str | None:
    """The model's version that Dagster knows."""
    event = instance.get_latest_materialization_event(dg.AssetKey(MODEL))
    found = event.asset_materialization if event else None
    return (found.tags or {}).get(DATA_VERSION_TAG) if found else None


def _metadata(lineage: Lineage) -> dict[str, Any]:
    known = {"readout": lineage.readout, "dtype": lineage.dtype}
    if lineage.model is not None:
        known.update(lineage.model.model_dump())
    return {name: value for name, value in known.items() if value is not None}
