"""Integrity checks: every artifact is read back and must be sound before anything follows from it.

All block: what depends on the artifact does not run in the same run when one fails. A partitioned
artifact is checked partition by partition, in a run over all of them too.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import dagster as dg

# not exported by Dagster, whose version is pinned; an evaluation per partition needs it
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)

from atlas_assets.errors import AtlasError
from atlas_assets.orchestration.partitions import setting_of
from atlas_assets.soundness.checks import IntegrityCheck, checks_of
from atlas_assets.soundness.inspection import Inspection, MaskReader, NotComparedError
from atlas_assets.stages.artifact import Artifact
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.storage.store import AtlasStore

#: passed, description, metadata
Verdict = tuple[bool, str, dict[str, Any]]


def integrity_checks(partitions: dg.MultiPartitionsDefinition) -> list[dg.AssetChecksDefinition]:
    """The blocking checks of every artifact of the catalogue, one step per artifact.

    Args:
        partitions: of the sweep.
    """
    reader = MaskReader()
    return [_checks(artifact, partitions, reader) for artifact in ARTIFACTS.values()]


def _checks(
    artifact: Artifact, partitions: dg.MultiPartitionsDefinition, reader: MaskReader
) -> dg.AssetChecksDefinition:
    checks = checks_of(artifact.key)
    evaluate = _per_partition if artifact.partitioned else _at_once
    with warnings.catch_warnings():
        # partitions_def of a check is in preview; Dagster's version is pinned, the tests run it
        warnings.simplefilter("ignore", dg.PreviewWarning)
        specs = [
            dg.AssetCheckSpec(
                check.name,
                asset=artifact.key,
                description=check.statement,
                blocking=True,
                partitions_def=partitions if artifact.partitioned else None,
            )
            for check in checks
        ]

    @dg.multi_asset_check(name=f"{artifact.key}_integrity", specs=specs)
    def integrity(
        context: dg.AssetCheckExecutionContext, store: dg.ResourceParam[AtlasStore]
    ) -> Any:
        yield from evaluate(context, store, artifact.key, reader)

    return integrity


def _at_once(
    context: dg.AssetCheckExecutionContext, store: AtlasStore, key: str, reader: MaskReader
) -> Iterator[dg.AssetCheckResult]:
    del context
    inspection = Inspection(store, reader, key)
    for check in checks_of(key):
        passed, description, metadata = _verdict(check, inspection)
        yield dg.AssetCheckResult(
            passed=passed,
            asset_key=key,
            check_name=check.name,
            description=description,
            metadata=metadata,
            severity=dg.AssetCheckSeverity.ERROR,
        )


def _per_partition(
    context: dg.AssetCheckExecutionContext, store: AtlasStore, key: str, reader: MaskReader
) -> Iterator[Any]:
    """An evaluation per partition: a check result would count once for a whole run."""
    keys = sorted(map(str, context.partition_keys))
    together = tuple(setting_of(partition) for partition in keys)
    for partition in keys:
        inspection = Inspection(store, reader, key, setting_of(partition), together)
        target = _materialization(context, key, partition)
        for check in checks_of(key):
            passed, description, metadata = _verdict(check, inspection)
            yield dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(key),
                check_name=check.name,
                passed=passed,
                description=description,
                metadata=metadata,
                severity=dg.AssetCheckSeverity.ERROR,
                blocking=True,
                partition=partition,
                target_materialization_data=target,
            )
    for check in checks_of(key):
        yield dg.Output(None, output_name=f"{key}_{check.name}")


def _verdict(check: IntegrityCheck, inspection: Inspection) -> Verdict:
    try:
        details = check.verify(inspection)
    except NotComparedError as error:
        return True, error.what, {"statement": check.statement}
    except AtlasError as error:
        parts = {
            "where": error.where,
            "expected": error.expected,
            "found": error.found,
            "what to do": error.remedy,
        }
        told = {name: text for name, text in parts.items() if text}
        return False, str(error), {"statement": check.statement, **told}
    return True, check.statement, details


def _materialization(
    context: dg.AssetCheckExecutionContext, key: str, partition: str
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """The materialisation that a partition's evaluation speaks of."""
    found = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(key), asset_partitions=[partition]), limit=1
    )
    for record in found.records:
        return AssetCheckEvaluationTargetMaterializationData(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
    return None
