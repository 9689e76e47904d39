"""Small asset graphs on a real Dagster instance, as tests of the IO managers need them."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
from upath import UPath

from atlas_assets.orchestration.io_managers.base import Deferred, io_managers
from atlas_assets.orchestration.partitions import partitions_of
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.setting import grid
from atlas_assets.storage.provenance import Lineage
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.storage.samples import DEFINED, LINEAGE, sample

SWEEP = grid([0.001, 0.5], [0.5, 0.8])
BY_SPACE = partitions_of(SWEEP, DEFINED)
PARTITIONS = BY_SPACE["sweep"]
SINGLE_RUN: dict[str, Any] = {
    "partitions_def": PARTITIONS,
    "backfill_policy": dg.BackfillPolicy.single_run(),
}
KEYS = ["0.5|0.001", "0.5|0.5", "0.8|0.001", "0.8|0.5"]


def store_at(root: Path | UPath, expected: Lineage = LINEAGE) -> AtlasStore:
    return AtlasStore(UPath(root), lambda: expected, SWEEP, definitions=DEFINED)


def producer(key: str, value: Any = None) -> dg.AssetsDefinition:
    """An asset without inputs that makes the artifact ``key``, one value per partition."""
    artifact = ARTIFACTS[key]
    extra: dict[str, Any] = {}
    if artifact.partitions is not None:
        extra = {**SINGLE_RUN, "partitions_def": BY_SPACE[artifact.partitions.name]}

    @dg.asset(key=key, io_manager_key=f"{artifact.kind}_io_manager", **extra)
    def made(context: dg.AssetExecutionContext) -> Any:
        if value is not None:
            return value
        if not artifact.partitioned:
            return sample(key)
        return {
            at: Deferred(
                make=partial(sample, key, artifact.partition_named(at)),
                tell=partial(context.add_asset_metadata, asset_key=key, partition_key=at),
            )
            for at in context.partition_keys
        }

    return made


def recorder(seen: list[Any], key: str, annotation: Any = Any, **options: Any) -> Any:
    """An unpartitioned (or, with ``partitions_def``, partitioned) asset that reads ``key``."""
    metadata = options.pop("metadata", None)

    def read(value: Any) -> None:
        seen.append(value)

    read.__annotations__ = {"value": annotation, "return": None}
    return dg.asset(name="reader", ins={"value": dg.AssetIn(key, metadata=metadata)}, **options)(
        read
    )


def materialize(
    assets: Sequence[dg.AssetsDefinition],
    store: AtlasStore,
    instance: dg.DagsterInstance,
    **options: Any,
) -> dg.ExecuteInProcessResult:
    return dg.materialize(assets, resources=io_managers(store), instance=instance, **options)


def over(first: str, last: str) -> dict[str, str]:
    """Tags of a run over a range of partitions."""
    return {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last,
    }


def metadata_of(
    result: dg.ExecuteInProcessResult, key: str
) -> Mapping[str | None, Mapping[str, Any]]:
    """partition key → metadata of its materialisation, as plain values."""
    return {
        event.partition: {name: value.value for name, value in event.metadata.items()}
        for event in result.asset_materializations_for_node(key)
    }
