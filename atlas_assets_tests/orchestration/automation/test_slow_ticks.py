"""A tick that takes so long that a run ends in it, forced: between two of its looks, a run ends."""

from concurrent.futures import ThreadPoolExecutor

import dagster as dg
import pytest

# what `automation.conditions` reads, read here too early
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus

from atlas_assets.orchestration.automation.conditions import stay_up_to_date

pytestmark = pytest.mark.filterwarnings(
    # Dagster's own evaluate_automation_conditions selects with a parameter in beta
    "ignore:Parameter .include_sources.:dagster_shared.utils.warnings.BetaWarning"
)

BELOW = dg.AssetKey("below")


class Meanwhile(dg.AutomationCondition[dg.AssetKey]):
    """Of the asset above: looks at the one below, then a run of that one ends; requests nothing."""

    def evaluate(
        self, context: dg.AutomationContext[dg.AssetKey]
    ) -> dg.AutomationResult[dg.AssetKey]:
        view = context.asset_graph_view
        resolver = CachingStaleStatusResolver(
            view.instance, context.asset_graph, view, view.get_inner_queryer_for_back_compat()
        )
        assert resolver.get_status(BELOW) == StaleStatus.STALE
        with ThreadPoolExecutor() as elsewhere:
            elsewhere.submit(make, view.instance, "below").result()
        return dg.AutomationResult(context, context.get_empty_subset())


def graph(above: dg.AutomationCondition[dg.AssetKey]) -> list[dg.AssetsDefinition]:
    """One asset made from another. Without code versions, each making is another version."""

    @dg.asset(name="above", automation_condition=above)
    def upper() -> None: ...

    @dg.asset(name="below", deps=["above"], automation_condition=stay_up_to_date())
    def lower() -> None: ...

    return [upper, lower]


def make(instance: dg.DagsterInstance, name: str) -> None:
    assets = graph(stay_up_to_date())
    assert dg.materialize(assets, instance=instance, selection=[name]).success


def requested(
    instance: dg.DagsterInstance, above: dg.AutomationCondition[dg.AssetKey]
) -> set[dg.AssetKey]:
    defs = dg.Definitions(graph(above))
    found = dg.evaluate_automation_conditions(defs, instance)
    return {key for key in (dg.AssetKey("above"), BELOW) if found.get_num_requested(key)}


def test_what_a_run_has_made_since_the_tick_began_is_not_made_again() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        for name in ("above", "below", "above"):
            make(instance, name)
        assert requested(instance, stay_up_to_date()) == {BELOW}
        assert requested(instance, Meanwhile()) == set()
