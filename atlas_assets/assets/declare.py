"""How a catalogue entry becomes a Dagster asset.

Key, group, kinds, owners, description, code version and IO manager all come from
`atlas_assets.formats.catalog`, so that graph and files cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from atlas_assets.formats.catalog import ARTIFACTS

OWNERS = ["team:csp-atlas"]
#: assets that run the network share this pool, so that one accelerator serves one at a time
MODEL_POOL = "model"


def atlas_asset(
    key: str, *, partitions: dg.PartitionsDefinition[str] | None = None, **extra: Any
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Decorator: the asset that makes the artifact ``key`` of the catalogue."""
    artifact = ARTIFACTS[key]
    partitioned: dict[str, Any] = {}
    if artifact.partitioned:
        # one run may cover the whole sweep: activations are then read once for all settings
        partitioned = {
            "partitions_def": partitions,
            "backfill_policy": dg.BackfillPolicy.single_run(),
        }
    return dg.asset(
        key=key,
        group_name=artifact.group,
        description=artifact.description,
        kinds={artifact.kind, *extra.pop("kinds", ())},
        owners=OWNERS,
        code_version=artifact.code_version,
        io_manager_key=f"{artifact.kind}_io_manager",
        metadata={"file": artifact.filename},
        **partitioned,
        **extra,
    )


def by_partition(context: dg.AssetExecutionContext, value: Any) -> Mapping[str, Any]:
    """An input as {partition key: value}, whether the run covers one partition or several."""
    keys = context.partition_keys
    return {keys[0]: value} if len(keys) == 1 else value


def for_partitions(context: dg.AssetExecutionContext, values: Mapping[str, Any]) -> Any:
    """An output as Dagster's IO managers take it: bare for one partition, a mapping for several."""
    return next(iter(values.values())) if len(context.partition_keys) == 1 else values
