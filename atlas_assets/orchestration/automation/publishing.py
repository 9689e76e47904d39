"""The job ``publish``, and what starts it: a sensor after successful runs, and a daily schedule.

Neither of the two decides what may be published. The job asks `atlas_assets.hub.staging`, as the
command ``atlas publish`` does, and a job that finds nothing changed makes no commit; so it does no
harm to start it once too often.
"""

import dataclasses
from typing import Any

import dagster as dg

from atlas_assets.errors import AtlasError
from atlas_assets.hub_client.client import HubClient
from atlas_assets.orchestration.version import KEY as VERSION
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.catalog import ARTIFACTS

JOB = "publish"
OP = "publish_atlas"
SENSOR = "hub_sync_sensor"
SCHEDULE = "publish_daily"
#: every day at seven, an hour after the model is polled
DAILY = "0 7 * * *"
#: seconds between two looks
INTERVAL = 60
#: seconds before a run whose Hub did not answer tries again; 3, 7 and 15 times that after it
RETRY_DELAY = 60.0
RETRIES = 4
#: on runs that publish the whole atlas: the repository that they publish to
TARGET_TAG = "atlas/publishes_to"
#: materialisations of one asset that are looked through for those of one run, newest first
_LIMIT = 500
_FAILED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


class PublishConfig(dg.Config):
    """What is published, and where to.

    Attributes:
        cells: Assets, partitions of them as ``asset|C|ε``, and file names; none: the whole atlas.
            What is not named is left in the repository as it is.
        repository: The repository, ``owner/name``; by default ATLAS_HUB_TARGET.
        replace: Whether files that an earlier publication left there and this one does not have
            are removed.
        overwrite: Whether to publish although files of an atlas are there that no publication
            left: those of the same path are replaced, the others stay.
    """

    cells: list[str] | None = None
    repository: str | None = None
    replace: bool = False
    overwrite: bool = False


def publish_job(retry_delay: float = RETRY_DELAY) -> dg.JobDefinition:
    """Return the job ``publish``: one op, one commit; the delay is in seconds, as `RETRY_DELAY`."""

    @dg.op(
        name=OP,
        description="Publishes what is fresh and sound of the atlas in force, in one commit, and "
        "tags the version. Nothing changed: no commit.",
        # what the Hub refuses is not tried again: it fails the op with allow_retries=False
        retry_policy=dg.RetryPolicy(
            max_retries=RETRIES, delay=retry_delay, backoff=dg.Backoff.EXPONENTIAL
        ),
    )
    def publish_atlas(
        context: dg.OpExecutionContext,
        config: PublishConfig,
        settings: dg.ResourceParam[AtlasSettings],
        hub: dg.ResourceParam[HubClient],
    ) -> None:
        from atlas_assets.atlas.open import open_with_model
        from atlas_assets.hub.plan import Options
        from atlas_assets.hub.publish import publish, require_target
        from atlas_assets.hub.staging import cells_named

        try:
            target = config.repository or settings.hub_target
            repo_id = require_target(target, "set it, or give the run `repository`")
            store = open_with_model(settings)
            cells = cells_named(store, config.cells or (), "cells", "correct the run's config")
            options = Options(cells or None, config.replace, config.overwrite)
            found = publish(store, settings, repo_id, hub, options)
        except AtlasError as error:
            if error.retryable:
                raise
            raise dg.Failure(str(error), metadata=error.said, allow_retries=False) from None
        _report(context, found)

    @dg.job(
        name=JOB,
        description="Publishes the atlas in force to ATLAS_HUB_TARGET: files, manifest and card in "
        "one commit, tagged. Parts of it: ops: {publish_atlas: {config: {cells: "
        '["summary", "object_masks|0.8|0.5"]}}}.',
    )
    def job() -> None:
        publish_atlas()

    return job


def hub_sync_sensor(
    settings: AtlasSettings, job: dg.JobDefinition, hub: HubClient
) -> dg.SensorDefinition:
    """Return the sensor that requests ``job``, which publishes, after runs.

    Where there is a target it is on from the start, and idle until there is a token.
    """

    @dg.run_status_sensor(
        name=SENSOR,
        run_status=dg.DagsterRunStatus.SUCCESS,
        request_job=job,
        # runs that a command line started belong to no code location
        monitor_all_code_locations=True,
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING
        if settings.hub_target
        else dg.DefaultSensorStatus.STOPPED,
        description="When runs have ended and what they materialised has passed its blocking "
        "checks, publishes it in one run. Needs ATLAS_HUB_TARGET and a token of the Hub.",
    )
    def hub_sync(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
        run = context.dagster_run
        record = context.instance.get_run_record_by_id(run.run_id)
        off = _off(settings, hub)
        if off is not None:
            return dg.SkipReason(off)
        if run.job_name == JOB or record is None or not _made_files(context.instance, record):
            return dg.SkipReason(f"run {run.run_id[:8]} ({run.job_name}) made no file of an atlas")
        later = _published_since(context.instance, record, str(settings.hub_target))
        if later is not None:
            return dg.SkipReason(f"run {later[:8]} publishes what run {run.run_id[:8]} made")
        return _request(settings, run_key=run.run_id)

    return hub_sync


def publish_schedule(
    settings: AtlasSettings, job: dg.JobDefinition, hub: HubClient
) -> dg.ScheduleDefinition:
    """Return the schedule that requests ``job`` once a day; it is off until it is switched on."""

    @dg.schedule(
        name=SCHEDULE,
        job=job,
        cron_schedule=DAILY,
        description="Publishes the atlas in force once a day: what no run of Dagster made, and "
        "what a failed run left unpublished. Nothing changed: no commit. Needs ATLAS_HUB_TARGET "
        "and a token of the Hub.",
    )
    def publish_daily() -> dg.RunRequest | dg.SkipReason:
        off = _off(settings, hub)
        return _request(settings) if off is None else dg.SkipReason(off)

    return publish_daily


def _request(settings: AtlasSettings, run_key: str | None = None) -> dg.RunRequest:
    """A run that publishes the whole atlas; one with the same key is requested once."""
    return dg.RunRequest(run_key=run_key, tags={TARGET_TAG: str(settings.hub_target)})


def _made_files(instance: dg.DagsterInstance, run: dg.RunRecord) -> bool:
    """Whether a run materialised anything of an atlas, or put another version in force."""
    return any(
        event.run_id == run.dagster_run.run_id
        for asset in (*ARTIFACTS, VERSION)
        for event in instance.fetch_materializations(
            dg.AssetRecordsFilter(dg.AssetKey(asset), after_timestamp=run.start_time), limit=_LIMIT
        ).records
    )


def _published_since(instance: dg.DagsterInstance, run: dg.RunRecord, target: str) -> str | None:
    """The run that published the whole atlas, or does so now, and began after this run's end."""
    publications = dg.RunsFilter(job_name=JOB, tags={TARGET_TAG: target})
    for last in instance.get_run_records(publications, limit=1):
        began_later = run.end_time and last.start_time and last.start_time > run.end_time
        if began_later and last.dagster_run.status not in _FAILED:
            return last.dagster_run.run_id
    return None


def _off(settings: AtlasSettings, hub: HubClient) -> str | None:
    """What is to be configured before anything is published."""
    if settings.hub_target is None:
        return "publishing is off: set ATLAS_HUB_TARGET to a dataset repository (owner/name)"
    if not hub.user_token():
        return "publishing is off: give a token with write access: `hf auth login`, or set HF_TOKEN"
    return None


def _report(context: dg.OpExecutionContext, found: Any) -> None:
    """The commit as metadata of the run, and as an observation of each asset that it changed."""
    plan = found.plan
    commit = {
        "repository": plan.repo_id,
        "commit": dg.MetadataValue.url(found.url),
        "version": plan.version,
    }
    for file in found.left_out:
        if file.present:
            context.log.warning(f"{file.name} is not published: {file.reason}")
    for check in found.not_compared:
        told = f"the check {check.check} compared nothing: {check.reason}"
        context.log.warning(f"{check.name}: {told}")
    said = f"nothing to commit: {plan.repo_id} holds {plan.version} already"
    context.log.info(f"published {plan.version}: {found.url}" if found.committed else said)
    changes = plan.changes if found.committed else ()
    paths = {change.path for change in changes if change.kind != "remove"}
    files = [file for file in plan.manifest.files if file.path in paths]
    for asset, partition in dict.fromkeys((file.asset, file.partition) for file in files):
        told = f"published as {plan.version}"
        context.log_event(dg.AssetObservation(asset, told, commit, partition))
    listed = dg.MetadataValue.json([dataclasses.asdict(change) for change in plan.changes])
    outcome = {"sha": found.sha, "committed": found.committed, "changed_files": len(changes)}
    context.add_output_metadata({**commit, **outcome, "changes": listed})
