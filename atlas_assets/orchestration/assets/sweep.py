"""Bringing the sweep up to date: settings that are missing or stale, and only those."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from atlas_assets.errors import ArtifactError, MissingArtifactError
from atlas_assets.orchestration.partitions import partition_key
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.store import AtlasStore

SWEPT = ("object_masks", "checker_masks")


def stale_cells(
    store: AtlasStore, settings: Iterable[Setting]
) -> Mapping[Setting, Mapping[str, str]]:
    """{setting: {artifact: why it must be made}} for the cells that are not up to date."""
    cells = {}
    for setting in settings:
        reasons = {key: _reason(store, key, setting) for key in SWEPT}
        stale = {key: reason for key, reason in reasons.items() if reason is not None}
        if stale:
            cells[setting] = stale
    return cells


def _reason(store: AtlasStore, key: str, setting: Setting) -> str | None:
    try:
        reason = store.stale_reason(key, setting)
        if reason is None:
            # a record may be intact where the content is not; of the pairs only the record is read
            store.recall(key, setting, part="universal" if key == "object_masks" else None)
    except ArtifactError as error:
        # a damaged cell is made again; if it is the activations, reading them will say so
        return f"it cannot be read ({error.what})"
    return reason


def complete_sweep(
    context: dg.AssetExecutionContext,
    settings: Iterable[Setting],
    store: AtlasStore,
    definitions: Iterable[dg.AssetsDefinition],
    resources: Mapping[str, Any],
) -> None:
    """Materialise every cell that is missing or stale, each setting as a partition run of its own.

    Raises:
        MissingArtifactError: a cell must be made and its activations are not there.
    """
    cells = stale_cells(store, settings)
    if not cells:
        context.log.info("every setting of the sweep is up to date")
        return
    _require_activations(store, cells)
    for setting, reasons in cells.items():
        for key, reason in reasons.items():
            context.log.info(f"{key} at {setting}: {reason}; materialising it")
        dg.materialize(
            list(definitions),
            selection=list(reasons),
            partition_key=partition_key(setting),
            instance=context.instance,
            resources=resources,
            tags={"atlas/completes_sweep_of_run": context.run.run_id},
        )


def _require_activations(store: AtlasStore, cells: Mapping[Setting, Mapping[str, str]]) -> None:
    for key in sorted({key for stale in cells.values() for key in stale}):
        (activations,) = ARTIFACTS[key].inputs
        if not store.exists(activations):
            raise MissingArtifactError(
                f"the sweep cannot be completed: {key} needs {activations}",
                where=str(store.path(activations)),
                expected="the activations of stage 12",
                found="no such file",
                remedy="build everything with `dagster job execute -m atlas_assets.definitions "
                f"-j atlas`, or the activations alone with `dagster asset materialize -m "
                f"atlas_assets.definitions --select '*{activations}'`",
            )
