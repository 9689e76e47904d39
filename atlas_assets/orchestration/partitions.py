"""The partition spaces of artifacts as Dagster's partitions.

The sweep has two dimensions, ``consistency`` and ``epsilon``. Dagster sorts dimensions by name, so
a key reads ``consistency|epsilon`` (`Setting.partition_key`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import dagster as dg

from atlas_assets.stages.setting import DEFINITIONS, SWEEP, Definition, Partition, Setting, spell

# Dagster's own tags for a run over a range of partitions; it exports no names for them
ASSET_PARTITION_RANGE_START_TAG = "dagster/asset_partition_range_start"
ASSET_PARTITION_RANGE_END_TAG = "dagster/asset_partition_range_end"

#: the partitions of each space, by its name
Partitions = Mapping[str, dg.PartitionsDefinition[str]]


def partitions_of(sweep: Iterable[Setting], definitions: Iterable[Definition] = ()) -> Partitions:
    """Return the partitions of every space; that of a sweep is the grid of its ε and C values."""
    settings = tuple(sweep)
    values = {
        "consistency": sorted({setting.consistency for setting in settings}),
        "epsilon": sorted({setting.epsilon for setting in settings}),
    }
    dimensions: dict[str, dg.PartitionsDefinition[str]] = {
        name: dg.StaticPartitionsDefinition(list(map(spell, of_dimension)))
        for name, of_dimension in values.items()
    }
    names = [definition.partition_key for definition in definitions]
    return {
        SWEEP.name: dg.MultiPartitionsDefinition(dimensions),
        DEFINITIONS.name: dg.StaticPartitionsDefinition(names),
    }


def partition_key(partition: Partition) -> str:
    """``Setting(0.5, 0.8)`` → ``0.8|0.5``, as Dagster wants a key of two dimensions."""
    if isinstance(partition, Definition):
        return partition.partition_key
    setting = partition
    return dg.MultiPartitionKey(
        {"consistency": spell(setting.consistency), "epsilon": spell(setting.epsilon)}
    )


def range_tags(first: Partition, last: Partition) -> dict[str, str]:
    """Return the tags of a run from ``first`` to ``last``: of settings, in both dimensions."""
    return {
        ASSET_PARTITION_RANGE_START_TAG: str(partition_key(first)),
        ASSET_PARTITION_RANGE_END_TAG: str(partition_key(last)),
    }
