"""The sensor that keeps the atlas up to date: one run for everything that is stale.

Each tick looks at the state of every file, as ``atlas status`` does, and requests one run of the
job ``atlas`` for what is stale and what follows from it: steps wait for each other, blocking checks
block, and the model is loaded once. A tick looks at what is there, not at what has changed since
the tick before: it notices changes made while no daemon was running.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import dagster as dg

from atlas_assets.errors import ProvenanceError
from atlas_assets.orchestration.automation.plan import Verdicts, plan_of
from atlas_assets.orchestration.partitions import range_tags
from atlas_assets.orchestration.version import KEY as VERSION
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.catalog import ARTIFACTS

SENSOR = "keep_atlas_up_to_date"
JOB = "atlas"
#: seconds between two looks
INTERVAL = 30
#: on the runs that are requested: what is stale, and why
WHY_TAG = "atlas/why"
#: reasons that a tag or a message spells out
_SHOWN = 5
#: jobs that write files of the atlas, besides Dagster's own jobs for assets
_WRITING = {JOB, "sweep", "analyses", "fetch"}
_OF_DAGSTER = "__"
_FINISHED = {
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
}


def follow_sensor(settings: AtlasSettings) -> dg.SensorDefinition:
    """Return the sensor, which is off until it is switched on."""
    verdicts = Verdicts()

    @dg.sensor(
        name=SENSOR,
        job_name=JOB,
        minimum_interval_seconds=INTERVAL,
        description="Makes what is stale again, in one run: after a change of the model (as "
        "the poll reports it), of the code, of a setting, or of what was made by hand.",
    )
    def keep_atlas_up_to_date(
        context: dg.SensorEvaluationContext,
    ) -> dg.RunRequest | dg.SkipReason:
        newest = _newest_run(context.instance)
        writing = _writing_run(context.instance)
        if writing is not None:
            return dg.SkipReason(f"run {writing.run_id[:8]} ({writing.job_name}) is under way")
        try:
            plan = plan_of(settings, verdicts)
        except ProvenanceError as error:
            return dg.SkipReason(str(error))
        if _newest_run(context.instance) != newest:
            return dg.SkipReason("a run was begun meanwhile, and may have changed the files")
        key = _run_key(context.cursor, plan.digest)
        context.update_cursor(key)
        for line in (*plan.reasons, *plan.obstacles):
            context.log.info(line)
        if not plan.assets:
            return dg.SkipReason(_told(plan.obstacles) or "every file is up to date")
        return dg.RunRequest(
            run_key=key,
            asset_selection=[dg.AssetKey(asset) for asset in plan.assets],
            tags={**(range_tags(*plan.block) if plan.block else {}), WHY_TAG: _told(plan.reasons)},
        )

    return keep_atlas_up_to_date


def _run_key(cursor: str | None, digest: str) -> str:
    """Return the key of a run, which is the cursor as well: ``<number>-<digest of the state>``.

    Dagster launches a key once. The number goes up whenever the state is another than at the tick
    before: a run that failed is not launched again until something has changed, and a state that
    comes back is made again.
    """
    last = re.fullmatch(r"(\d+)-(\w*)", cursor or "")
    number, state = (int(last[1]), last[2]) if last else (0, None)
    return f"{number if state == digest else number + 1}-{digest}"


def _newest_run(instance: dg.DagsterInstance) -> str | None:
    return next((run.run_id for run in instance.get_runs(limit=1)), None)


def _writing_run(instance: dg.DagsterInstance) -> dg.DagsterRun | None:
    """A run under way that may write files of the atlas."""
    ours = {dg.AssetKey(key) for key in (*ARTIFACTS, VERSION)}
    statuses = [status for status in dg.DagsterRunStatus if status not in _FINISHED]
    for run in instance.get_runs(dg.RunsFilter(statuses=statuses)):
        # a run of assets that a command line began does not say which they are
        selected = not run.asset_selection or not ours.isdisjoint(run.asset_selection)
        if run.job_name in _WRITING or (run.job_name.startswith(_OF_DAGSTER) and selected):
            return run
    return None


def _told(sentences: Sequence[str]) -> str:
    more = len(sentences) - _SHOWN
    return "; ".join(sentences[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
