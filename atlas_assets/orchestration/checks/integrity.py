"""Integrity checks: every artifact is read back and must be sound before anything follows from it.

All block: what depends on the artifact does not run in the same run when one fails. A check that
found nothing to compare with is a warning: not green, and it blocks nothing. A partitioned artifact
is checked partition by partition, in a run over all of them too.
"""

import warnings
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import dagster as dg

from atlas_assets.interrupts import raise_missed
from atlas_assets.orchestration.partitions import Partitions
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.inspection import Inspection, MaskReader, Verdict, checks_of, judge
from atlas_assets.stages.artifact import Artifact
from atlas_assets.stages.catalog import ARTIFACTS, NOT_APPLICABLE, skipped_under
from atlas_assets.storage.store import AtlasStore


def integrity_checks(
    settings: AtlasSettings, partitions: Partitions
) -> list[dg.AssetChecksDefinition]:
    """Return the blocking checks of the catalogue, one step per artifact."""
    reader, skipped = MaskReader(), skipped_under(settings)
    return [
        _checks(artifact, partitions, reader, skipped.get(key, ""))
        for key, artifact in ARTIFACTS.items()
    ]


def _checks(
    artifact: Artifact, every: Partitions, reader: MaskReader, skipped: str
) -> dg.AssetChecksDefinition:
    """The checks of an artifact, or why it is ``skipped``."""
    space = artifact.partitions
    with warnings.catch_warnings():
        # partitions_def of a check is in preview in Dagster; the tests run through it
        warnings.simplefilter("ignore", dg.PreviewWarning)
        specs = [
            dg.AssetCheckSpec(
                check.name,
                asset=artifact.key,
                description=check.statement,
                # where nothing is made there is no result that what follows could wait for
                blocking=not skipped,
                additional_deps=check.beside,
                partitions_def=every[space.name] if space else None,
            )
            for check in checks_of(artifact.key)
        ]

    @dg.multi_asset_check(name=f"{artifact.key}_integrity", specs=specs, can_subset=True)
    def integrity(
        context: dg.AssetCheckExecutionContext, store: dg.ResourceParam[AtlasStore]
    ) -> Any:
        raise_missed()
        key, selected = artifact.key, {check.name for check in context.selected_asset_check_keys}
        if space is None:
            inspections: dict[str | None, Inspection] = {None: Inspection(store, reader, key)}
        else:
            # a run of checks alone, as the UI begins one, may name no partition: all are meant
            named = context.has_partition_key or context.has_partition_key_range
            keys = context.partition_keys if named else every[space.name].get_partition_keys()
            together = tuple(space.of_key(partition) for partition in sorted(map(str, keys)))
            inspections = {
                at.partition_key: Inspection(store, reader, key, at, together) for at in together
            }
        for partition, inspection in inspections.items():
            target = _target(context.instance, key, partition)
            yield from _evaluations(inspection, partition, target, selected, skipped)
        for name in sorted(selected):
            yield dg.Output(None, output_name=f"{key}_{name}")

    return integrity


def _evaluations(
    inspection: Inspection, partition: str | None, target: Any, selected: set[str], skipped: str
) -> Iterator[dg.AssetCheckEvaluation]:
    """An evaluation per check; for a check result Dagster would look up the same target each time.

    A result would count once for a whole run of partitions, too.
    """
    for check in checks_of(inspection.key):
        if check.name in selected:
            if skipped.startswith(NOT_APPLICABLE):
                verdict = Verdict("passed", skipped, {"statement": check.statement})
            else:
                verdict = judge(check, inspection)
            nothing = verdict.state == "not compared"
            yield dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(inspection.key),
                check_name=check.name,
                passed=verdict.state == "passed",
                # two blanks end a line in Markdown, as which the UI shows it
                description="  \n".join(verdict.description.splitlines()),
                metadata=verdict.details,
                severity=dg.AssetCheckSeverity.WARN if nothing else dg.AssetCheckSeverity.ERROR,
                blocking=True,
                partition=partition,
                target_materialization_data=target,
            )


def _target(instance: dg.DagsterInstance, key: str, partition: str | None) -> Any:
    """The materialisation that an evaluation speaks of, as Dagster's UI wants it told.

    Dagster exports no name for its type; the annotation of the public evaluation names it.
    """
    target = get_args(get_type_hints(dg.AssetCheckEvaluation)["target_materialization_data"])[0]
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=dg.AssetKey(key),
            asset_partitions=None if partition is None else [partition],
        ),
        limit=1,
    )
    for record in found.records:
        return target(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
    return None
