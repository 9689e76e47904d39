"""The jobs: the whole atlas in one run, the sweep alone, and what is read off it."""

from __future__ import annotations

import dagster as dg

from atlas_assets.stages.catalog_analyses import ANALYSES

# Dagster's own tags for a run over a range of partitions; it exports no names for them
ASSET_PARTITION_RANGE_START_TAG = "dagster/asset_partition_range_start"
ASSET_PARTITION_RANGE_END_TAG = "dagster/asset_partition_range_end"


def atlas_jobs(partitions: dg.MultiPartitionsDefinition) -> list[dg.UnresolvedAssetJobDefinition]:
    """``atlas`` runs everything; ``sweep`` masks and published tables; ``analyses`` what follows.

    The first two carry the sweep's first and last partition as a range, so that one run holds the
    unpartitioned assets and every setting (all settings of an asset in one step).
    """
    keys = partitions.get_partition_keys()
    whole_sweep = {
        ASSET_PARTITION_RANGE_START_TAG: keys[0],
        ASSET_PARTITION_RANGE_END_TAG: keys[-1],
    }
    further_analyses = dg.AssetSelection.assets(*(artifact.key for artifact in ANALYSES))
    return [
        dg.define_asset_job(
            "atlas",
            selection=dg.AssetSelection.all(),
            tags=whole_sweep,
            description="The whole atlas: prompts, activations, masks at every setting, tables, "
            "figures, report.",
        ),
        dg.define_asset_job(
            "sweep",
            selection=(
                dg.AssetSelection.groups(
                    "stage_13_masks", "stage_14_decomposition", "stage_15_downstream"
                )
                - dg.AssetSelection.assets("token_checker_masks")
                - further_analyses
            ).without_checks(),
            tags=whole_sweep,
            description="From existing activations: masks at every setting, and the published "
            "tables. Every read still validates; the asset checks run with the job atlas.",
        ),
        dg.define_asset_job(
            "analyses",
            selection=further_analyses
            | dg.AssetSelection.groups("stage_16_figures", "stage_17_report"),
            description="From existing masks and tables: the further analyses, the figures and "
            "the reports.",
        ),
    ]
