"""The jobs: the whole atlas in one run, and the sweep alone."""

from __future__ import annotations

import dagster as dg

# Dagster's own tags for a run over a range of partitions; it exports no names for them
ASSET_PARTITION_RANGE_START_TAG = "dagster/asset_partition_range_start"
ASSET_PARTITION_RANGE_END_TAG = "dagster/asset_partition_range_end"


def atlas_jobs(partitions: dg.MultiPartitionsDefinition) -> list[dg.UnresolvedAssetJobDefinition]:
    """``atlas`` runs everything; ``sweep`` everything after the activations.

    Both carry the sweep's first and last partition as a range, so that one run holds the
    unpartitioned assets and every setting (all settings of an asset in one step).
    """
    keys = partitions.get_partition_keys()
    whole_sweep = {
        ASSET_PARTITION_RANGE_START_TAG: keys[0],
        ASSET_PARTITION_RANGE_END_TAG: keys[-1],
    }
    return [
        dg.define_asset_job(
            "atlas",
            selection=dg.AssetSelection.all(),
            tags=whole_sweep,
            description="The whole atlas: prompts, activations, masks at every setting, tables.",
        ),
        dg.define_asset_job(
            "sweep",
            selection=dg.AssetSelection.all()
            - dg.AssetSelection.groups("stage_11_prompts", "stage_12_activations")
            - dg.AssetSelection.assets("token_checker_masks"),
            tags=whole_sweep,
            description="From existing activations: masks at every setting, and all tables.",
        ),
    ]
