"""The jobs: the whole atlas in one run, the sweep alone, and what is read off it."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from atlas_assets.orchestration.partitions import range_tags
from atlas_assets.stages.catalog import ANALYSES, ARTIFACTS, CIRCUITS, ON_DEMAND
from atlas_assets.stages.circuits.yardsticks import YARDSTICKS
from atlas_assets.stages.figures.artifacts import WIRING_FIGURE
from atlas_assets.stages.setting import DEFINITIONS, Setting

#: what has partitions that no run of the sweep can have, and what the job ``validate`` makes
_OF_THEIR_OWN = sorted(
    {key for key, artifact in ARTIFACTS.items() if artifact.partitions is DEFINITIONS} | ON_DEMAND
)


def atlas_jobs(sweep: Sequence[Setting]) -> list[dg.UnresolvedAssetJobDefinition]:
    """``atlas`` runs everything; ``sweep`` masks and published tables; ``analyses`` what follows.

    The first two run over the sweep's first to last partition, so that one run holds the
    unpartitioned assets and every setting (all settings of an asset in one step). The range is a
    tag of such runs and not of the job: a run of one partition would carry it as well, and Dagster
    would then plan, and call failed, every partition of the sweep. In Python, ask for a run of one
    partition as a range, ``job.execute_in_process(tags=range_tags(setting, setting))``: where
    Dagster is given a ``partition_key``, it adds the tags of whole runs.
    """
    whole_sweep = range_tags(sweep[0], sweep[-1])
    further_analyses = dg.AssetSelection.assets(*(artifact.key for artifact in ANALYSES))
    of_circuits = dg.AssetSelection.assets(*(artifact.key for artifact in CIRCUITS))
    yardsticks = dg.AssetSelection.assets(*(artifact.key for artifact in YARDSTICKS))
    not_drawn = dg.AssetSelection.assets(WIRING_FIGURE.key, *sorted(ON_DEMAND))
    on_demand = dg.AssetSelection.assets(*sorted(ON_DEMAND))
    return [
        dg.define_asset_job(
            "atlas",
            # circuits have partitions of their own, and are made by what completes them
            selection=dg.AssetSelection.all() - dg.AssetSelection.assets(*_OF_THEIR_OWN),
            run_tags=whole_sweep,
            description="The whole atlas: prompts, activations, masks at every setting, tables, "
            "figures, report.",
        ),
        dg.define_asset_job(
            "sweep",
            selection=(
                dg.AssetSelection.groups("13_masks", "14_decomposition", "15_downstream")
                - dg.AssetSelection.assets("token_checker_masks")
                - further_analyses
                - of_circuits
                - yardsticks
            ).without_checks(),
            run_tags=whole_sweep,
            description="From existing activations: masks at every setting, and the published "
            "tables. Every read still validates; the asset checks run with the job atlas.",
        ),
        dg.define_asset_job(
            "validate",
            selection=on_demand.downstream().without_checks(),
            description="From an atlas: exact ablation of the circuits of all concepts by every "
            "definition, and what follows from it.",
        ),
        dg.define_asset_job(
            "analyses",
            selection=(
                further_analyses | (dg.AssetSelection.groups("16_figures", "17_report") - not_drawn)
            ),
            description="From existing masks and tables: the further analyses, the figures and "
            "the reports.",
        ),
    ]
