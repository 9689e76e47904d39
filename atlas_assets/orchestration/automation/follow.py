"""The sensor that keeps the atlas up to date: one run for everything that is stale.

Dagster's own automation sensor would launch what has no partitions and what has them in runs of
their own that do not wait for each other. Here the same evaluation ends in one run, in which steps
follow each other, blocking checks block and the model is loaded once.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

# changes a field of Dagster's records; not exported. Its version is pinned and the tests run it
from dagster._record import copy

from atlas_assets.orchestration.partitions import range_tags
from atlas_assets.stages.setting import Setting

SENSOR = "keep_atlas_up_to_date"
#: seconds between two looks
INTERVAL = 30


class OneRunSensor(dg.AutomationConditionSensorDefinition):
    """Evaluates the assets' conditions as Dagster does, and requests one run for all of them."""

    def evaluate_tick(self, context: dg.SensorEvaluationContext) -> Any:
        """What Dagster's evaluation gives, its run requests merged into one."""
        with warnings.catch_warnings():
            # Dagster looks over its requests with a function of its own that it has deprecated
            warnings.simplefilter("ignore", DeprecationWarning)
            evaluated = super().evaluate_tick(context)
        requests = evaluated.run_requests or ()
        if not requests:
            return copy(evaluated, skip_message="every asset is up to date")
        graph = context.repository_def.asset_graph  # type: ignore[union-attr]
        request = one_run(_requested(requests), graph, context.instance)
        return copy(evaluated, run_requests=[request])


def one_run(
    requested: Mapping[dg.AssetKey, frozenset[str]],
    graph: Any,
    instance: dg.DagsterInstance,
) -> dg.RunRequest:
    """One run of all requested assets, over the smallest block of settings with all partitions.

    Its key says what it is for: a run that failed is not launched again until something else has
    become stale, or has been made meanwhile.

    Args:
        requested: asset → its partitions, none of an asset that has no partitions.
        graph: Dagster's graph of all assets.
        instance: tells the versions of what the run starts from.
    """
    cells = {Setting.of_partition_key(key) for keys in requested.values() for key in keys}
    return dg.RunRequest(
        run_key=_cause(requested, graph, instance),
        asset_selection=sorted(requested),
        tags=_block(cells) if cells else {},
    )


def follow_sensor() -> dg.AutomationConditionSensorDefinition:
    """Off until it is switched on, as every Dagster sensor."""
    with warnings.catch_warnings():
        # evaluating conditions of one's own is beta in Dagster; its version is pinned and the tests
        # run it
        warnings.simplefilter("ignore", dg.BetaWarning)
        return OneRunSensor(
            SENSOR,
            target=dg.AssetSelection.all(),
            minimum_interval_seconds=INTERVAL,
            use_user_code_server=True,
            description="Makes what is stale again, in one run: after a change of the model (as "
            "the poll reports it), of the code, of a setting, or of what was made by hand.",
        )


def _requested(requests: Iterable[dg.RunRequest]) -> dict[dg.AssetKey, frozenset[str]]:
    found: dict[dg.AssetKey, frozenset[str]] = {}

    def add(asset: dg.AssetKey, partitions: Iterable[str]) -> None:
        found[asset] = found.get(asset, frozenset()) | frozenset(partitions)

    for request in requests:
        if request.asset_graph_subset is not None:
            for asset in request.asset_graph_subset.asset_keys:
                subset = request.asset_graph_subset.partitions_subsets_by_asset_key.get(asset)
                add(asset, subset.get_partition_keys() if subset else ())
        for asset in request.asset_selection or ():
            add(asset, _keys_of(request))
    return found


def _keys_of(request: dg.RunRequest) -> Sequence[str]:
    return (request.partition_key,) if request.partition_key else ()


def _block(cells: set[Setting]) -> dict[str, str]:
    """Tags of a run over the smallest block of the sweep that holds the cells."""
    epsilons = sorted(cell.epsilon for cell in cells)
    consistencies = sorted(cell.consistency for cell in cells)
    first = Setting(epsilons[0], consistencies[0])
    return range_tags(first, Setting(epsilons[-1], consistencies[-1]))


def _cause(
    requested: Mapping[dg.AssetKey, frozenset[str]], graph: Any, instance: dg.DagsterInstance
) -> str:
    """Digest of what is to be made, with what code, and from which versions of what is there."""
    lines = []
    for asset in sorted(requested):
        node = graph.get(asset)
        lines.append(f"{asset.to_user_string()} {node.code_version} {sorted(requested[asset])}")
        for before in sorted(node.parent_keys - requested.keys()):
            event = instance.get_latest_materialization_event(before)
            tags = event.asset_materialization.tags if event and event.asset_materialization else {}
            lines.append(f"{before.to_user_string()} {(tags or {}).get('dagster/data_version')}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
