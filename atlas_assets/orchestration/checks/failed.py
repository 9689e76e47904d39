"""Which blocking checks an atlas has failed, as Dagster remembers them."""

from __future__ import annotations

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter

# neither is exported by Dagster, whose version is pinned
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecordStatus as Status,
)

from atlas_assets.orchestration.partitions import partition_key
from atlas_assets.soundness.checks import checks_of
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.setting import Setting


def failed_checks(instance: dg.DagsterInstance, sweep: tuple[Setting, ...]) -> list[str]:
    """``object_masks 0.8|0.5 schema`` of each check whose latest evaluation failed."""
    failed = []
    for key, artifact in ARTIFACTS.items():
        checks = [dg.AssetCheckKey(dg.AssetKey(key), check.name) for check in checks_of(key)]
        cells = [str(partition_key(at)) for at in sweep] if artifact.partitioned else [None]
        for cell in cells:
            records = instance.event_log_storage.get_latest_asset_check_execution_by_key(
                checks, PartitionKeyFilter(key=cell) if cell else None
            )
            failed += [
                " ".join(part for part in (key, cell, check.name) if part)
                for check, record in records.items()
                if record.status == Status.FAILED
            ]
    return failed
