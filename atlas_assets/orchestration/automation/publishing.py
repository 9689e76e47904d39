"""The job ``publish``, and the sensor that starts it when something new has passed its checks."""

import dataclasses
from typing import Any

import dagster as dg

from atlas_assets.errors import AtlasError, HubUnavailableError, SettingsError
from atlas_assets.hub_client.client import HubClient
from atlas_assets.orchestration.automation.publishable import (
    Cursor,
    Found,
    look,
    parse_cell,
    unfinished,
)
from atlas_assets.settings import AtlasSettings

JOB = "publish"
OP = "publish_atlas"
SENSOR = "hub_sync_sensor"
#: seconds between two looks
INTERVAL = 60
#: seconds before a run whose Hub did not answer tries again; 3, 7 and 15 times that after it
RETRY_DELAY = 60.0
RETRIES = 4
CONTENT_TAG = "atlas/publishes"


class PublishConfig(dg.Config):
    """What is published, and where to.

    Attributes:
        cells: assets, and partitions of them as ``asset|C|ε``; none: the whole atlas. What is not
            named is left in the repository as it is.
        repository: ``owner/name``; by default ATLAS_HUB_TARGET.
        replace: whether files that an earlier publication left there and this one does not have
            are removed.
        overwrite: whether to publish although files of an atlas are there that no publication
            left: those of the same path are replaced, the others stay.
    """

    cells: list[str] | None = None
    repository: str | None = None
    replace: bool = False
    overwrite: bool = False


def publish_job(retry_delay: float = RETRY_DELAY) -> dg.JobDefinition:
    """``publish``: one op, one commit.

    Args:
        retry_delay: seconds before a run whose Hub did not answer tries again.
    """

    @dg.op(
        name=OP,
        description="Publishes what is fresh and sound of the atlas in force, in one commit, and "
        "tags the version. Nothing changed: no commit.",
        # what the Hub refuses is not tried again: `_refused`
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
        from atlas_assets.hub.publish import publish

        try:
            store = open_with_model(settings)
            cells = {cell for name in config.cells or () for cell in parse_cell(name, store.sweep)}
            found = publish(
                store,
                settings,
                _target(settings, config),
                hub,
                cells=cells or None,
                replace=config.replace,
                overwrite=config.overwrite,
            )
        except HubUnavailableError:
            raise
        except AtlasError as error:
            raise _refused(error) from None
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
    """Watches what is materialised; on from the start, and idle until it is told where to publish.

    Args:
        settings: in force.
        job: of `publish_job`.
        hub: says whether there is a token.
    """

    @dg.sensor(
        name=SENSOR,
        job_name=job.name,
        minimum_interval_seconds=INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="When runs have ended and what they materialised has passed its blocking "
        "checks, publishes it in one run. Needs ATLAS_HUB_TARGET and a token of the Hub.",
    )
    def hub_sync(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        off = _off(settings, hub)
        if off is not None:
            return dg.SkipReason(off)
        busy = unfinished(context.instance, publishing=JOB)
        if busy is not None:
            return dg.SkipReason(busy)
        return _decide(look(context.instance, settings, Cursor.parse(context.cursor)))

    return hub_sync


def _decide(found: Found) -> dg.SensorResult | dg.SkipReason:
    """One run for everything that is ready, if it is not what the last run published."""
    waiting = f"; {found.waiting}" if found.waiting else ""
    if not found.is_new:
        return dg.SkipReason(f"nothing new has passed its checks{waiting}")
    cursor = found.cursor.dump()
    if found.content == found.before.content:
        reason = f"what was made again is what the last run published{waiting}"
        return dg.SensorResult(skip_reason=reason, cursor=cursor)
    config = PublishConfig(cells=[cell.name for cell in found.cells])
    request = dg.RunRequest(
        # the same state of the same materialisations is requested once, even if the cursor is lost
        run_key=f"{found.content}-{found.newest}",
        run_config=dg.RunConfig(ops={OP: config}),
        tags={CONTENT_TAG: found.content},
    )
    return dg.SensorResult(run_requests=[request], cursor=cursor)


def _off(settings: AtlasSettings, hub: HubClient) -> str | None:
    """What is to be configured before anything is published."""
    lacking = []
    if settings.hub_target is None:
        lacking.append("set ATLAS_HUB_TARGET to a dataset repository (owner/name)")
    elif not hub.has_token():
        lacking.append("give a token with write access: `hf auth login`, or set HF_TOKEN")
    return f"publishing is off: {lacking[0]}" if lacking else None


def _target(settings: AtlasSettings, config: PublishConfig) -> str:
    repository = config.repository or settings.hub_target
    if repository is None:
        raise SettingsError(
            "it is not said where to publish",
            where="ATLAS_HUB_TARGET",
            expected="a dataset repository of the Hub: owner/name",
            found="nothing",
            remedy="set it, or give the run `repository`",
        )
    return repository


def _refused(error: AtlasError) -> dg.Failure:
    parts = {
        "where": error.where,
        "expected": error.expected,
        "found": error.found,
        "what to do": error.remedy,
    }
    told = {name: text for name, text in parts.items() if text}
    return dg.Failure(description=str(error), metadata=told, allow_retries=False)


def _report(context: dg.OpExecutionContext, found: Any) -> None:
    """The commit as metadata of the run, and as an observation of each asset that it changed."""
    plan = found.plan
    metadata = {
        "repository": plan.repo_id,
        "commit": dg.MetadataValue.url(found.url),
        "sha": found.sha,
        "version": plan.version,
        "committed": found.committed,
        "changed_files": len(plan.changes) if found.committed else 0,
    }
    for file in found.left_out:
        if file.present:
            context.log.warning(f"{file.name} is not published: {file.reason}")
    for check in found.not_compared:
        context.log.warning(
            f"{check.name}: the check {check.check} compared nothing: {check.reason}"
        )
    if not found.committed:
        context.log.info(f"nothing to commit: {plan.repo_id} holds {plan.version} already")
    else:
        context.log.info(f"published {plan.version}: {found.url}")
        for asset, partition in _changed(plan):
            context.log_event(
                dg.AssetObservation(
                    asset_key=asset,
                    partition=partition,
                    description=f"published as {plan.version}",
                    metadata={name: metadata[name] for name in ("repository", "commit", "version")},
                )
            )
    context.add_output_metadata(
        {
            **metadata,
            "changes": dg.MetadataValue.json([dataclasses.asdict(c) for c in plan.changes]),
        }
    )


def _changed(plan: Any) -> list[tuple[str, str | None]]:
    """Assets, and partitions, of which a file was committed."""
    paths = {change.path for change in plan.changes if change.kind != "remove"}
    files = [file for file in plan.manifest.files if file.path in paths]
    return list(dict.fromkeys((file.asset, file.partition) for file in files))
