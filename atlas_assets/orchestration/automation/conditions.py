"""When an asset is made again without being asked: exactly when Dagster knows it to be stale.

An asset is *outdated* when its code version or the data version of something it was made from has
changed since it was made, or when a partition of its sweep is new. Outdated assets are requested
together with everything that follows from them, so that one run brings the graph up to date
(`atlas_assets.orchestration.automation.follow`). Nothing is requested while anything it depends
on is under way or has failed a blocking check, and an atlas of which nothing has ever been made
is left alone.

The condition looks at what is, not at what has changed between two looks: it notices changes made
while no daemon was running.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

# Dagster's own account of what is stale and why (what its UI shows); not exported. Its version is
# pinned and the tests run it.
from dagster._core.definitions.data_version import (
    CachingStaleStatusResolver,
    StaleStatus,
    extract_data_provenance_from_entry,
)
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.loader import LoadingContext
from dagster._utils.caching_instance_queryer import CachingInstanceQueryer

Condition = dg.AutomationCondition[dg.AssetKey]
Context = dg.AutomationContext[dg.AssetKey]
Result = dg.AutomationResult[dg.AssetKey]


class Outdated(Condition):
    """Made from something else than there is now, or a partition beside others that are made."""

    @property
    def name(self) -> str:
        """As the UI shows it."""
        return "outdated"

    def evaluate(self, context: Context) -> Result:
        """The candidates that are stale, or missing in a sweep that is partly there."""
        view, partitions = context.asset_graph_view, context.partitions_def
        if partitions is None:
            outdated = _states(context, [None])[None] == StaleStatus.STALE
            return dg.AutomationResult(
                context, context.candidate_subset if outdated else context.get_empty_subset()
            )
        keys = context.candidate_subset.expensively_compute_partition_keys()
        states = _states(context, sorted(keys))
        wanted = {key for key in keys if states[key] == StaleStatus.STALE}
        missing = {key for key in keys if states[key] == StaleStatus.MISSING}
        if missing < set(partitions.get_partition_keys()):
            wanted |= missing
        subset = view.get_subset_from_partition_keys(context.key, partitions, wanted)
        return dg.AutomationResult(context, subset)


def _states(context: Context, partitions: Sequence[str | None]) -> dict[str | None, StaleStatus]:
    """Of partitions, or of the asset (``None``).

    What a tick has read once it does not read again, so in a slow one a run may have ended since:
    whatever does not look fresh is looked at anew.
    """
    view = context.asset_graph_view
    known = view.get_inner_queryer_for_back_compat()
    states = {key: _status(context, key, view, known) for key in partitions}
    if set(states.values()) <= {StaleStatus.FRESH}:
        return states
    now = _Now(view.instance)
    queryer = CachingInstanceQueryer(view.instance, context.asset_graph, now)
    return {key: _status(context, key, now, queryer) for key in partitions}


def _status(
    context: Context,
    partition: str | None,
    loading: LoadingContext,
    queryer: CachingInstanceQueryer,
) -> StaleStatus:
    """As Dagster says, but what was fetched and not made here is never stale by itself."""
    instance = context.asset_graph_view.instance
    resolver = CachingStaleStatusResolver(instance, context.asset_graph, loading, queryer)
    status = resolver.get_status(context.key, partition)
    if status != StaleStatus.STALE:
        return status
    # of what was fetched Dagster knows no inputs, and compares times, which mean nothing here
    record = queryer.get_latest_materialization_or_observation_record(
        AssetKeyPartitionKey(context.key, partition)
    )
    made_here = record and extract_data_provenance_from_entry(record.event_log_entry) is not None
    return status if made_here else StaleStatus.FRESH


class _Now(LoadingContext):
    """Has read nothing yet."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._loaders: dict[type, Any] = {}

    @property
    def instance(self) -> dg.DagsterInstance:
        """Where it reads."""
        return self._instance

    @property
    def loaders(self) -> dict[type, Any]:
        """What it has read, by type."""
        return self._loaders


class Requested(Condition):
    """Requested in this very tick, whatever its partitions."""

    @property
    def name(self) -> str:
        """As the UI shows it."""
        return "requested_in_this_tick"

    def evaluate(self, context: Context) -> Result:
        """What has been requested so far; what comes before an asset is evaluated before it."""
        requested = context.request_subsets_by_key.get(context.key) or context.get_empty_subset()
        return dg.AutomationResult(
            context, context.candidate_subset.compute_intersection(requested)
        )


class FailedBlockingCheck(Condition):
    """A blocking check failed; one that found nothing to compare with is a mere warning."""

    @property
    def name(self) -> str:
        """As the UI shows it."""
        return "failed_a_blocking_check"

    def evaluate(self, context: Context) -> Result:
        """All candidates, or none."""
        graph, instance = context.asset_graph, context.asset_graph_view.instance
        keys = [key for key in graph.get(context.key).check_keys if graph.get(key).blocking]
        latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
        failed = any(_failed(record) for record in latest.values())
        return dg.AutomationResult(
            context, context.candidate_subset if failed else context.get_empty_subset()
        )


def _failed(record: Any) -> bool:
    event = record.event.dagster_event if record.event else None
    found = event.event_specific_data if event else None
    return (
        isinstance(found, dg.AssetCheckEvaluation)
        and not found.passed
        and found.severity == dg.AssetCheckSeverity.ERROR
    )


def stay_up_to_date() -> Condition:
    """The condition of every asset of the graph."""
    at_hand = dg.AutomationCondition
    requested = Requested()
    absent = at_hand.any_deps_match(at_hand.missing() & ~requested)
    unsound = at_hand.any_deps_match(FailedBlockingCheck() & ~requested)
    under_way = at_hand.in_progress() | at_hand.any_deps_in_progress()
    due = Outdated() | at_hand.any_deps_match(requested)
    # what is under way comes first: a run that ends after that question is seen by the next one
    return (
        ~under_way.with_label("under_way")
        & due.with_label("outdated_or_follows_from_it")
        & ~absent.with_label("a_dependency_is_missing")
        & ~unsound.with_label("a_dependency_failed_a_blocking_check")
    )
