"""The model as Dagster sees it: an external asset, and what looks whether it has changed.

The poll costs one request (or, for a model on this machine, a look at its files' sizes and
dates). It runs nothing: it moves the pin (`atlas_assets.atlas.versions`) and reports the model's
new version, upon which everything made with the model is stale
(`atlas_assets.orchestration.automation.follow`).
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from atlas_assets.atlas import versions
from atlas_assets.atlas.model import AtlasModel
from atlas_assets.atlas.open import grid_in_force
from atlas_assets.errors import AtlasError, SettingsError
from atlas_assets.models.identity import ModelIdentity
from atlas_assets.orchestration.data_versions import MODEL, announce_model
from atlas_assets.settings import AtlasSettings
from atlas_assets.storage.provenance import Lineage

GROUP = "10_model"
SCHEDULE = "poll_model"
SENSOR = "watch_model"
#: seconds between two looks of the sensor
INTERVAL = 900


def model_spec(settings: AtlasSettings) -> dg.AssetSpec:
    """Return the external asset of the model, on which every stage that runs it depends."""
    revision = f" at {settings.model_revision}" if settings.model_revision else ""
    on_hub = versions.lies_on_hub(settings)
    return dg.AssetSpec(
        MODEL,
        group_name=GROUP,
        description=f"The model whose circuits the atlas maps: {settings.model}{revision}. Its "
        "data version is its commit on the Hub, or a digest of its weights and tokenizer, with the "
        f"readout{' and a digest of the own prompts' if settings.stimuli else ''}.",
        kinds={"huggingface" if on_hub else "pytorch"},
        owners=["team:csp-atlas"],
        metadata={
            "model": settings.model,
            "readout": settings.read_at,
            "dtype": settings.dtype,
            **({"own prompts": Path(settings.stimuli).name} if settings.stimuli else {}),
        },
    )


def poll_schedule(settings: AtlasSettings) -> dg.ScheduleDefinition:
    """Return the schedule that polls at the times of ``ATLAS_MODEL_POLL_CRON``; it starts off.

    Raises SettingsError where the variable is no cron schedule.
    """

    def poll_model(context: dg.ScheduleEvaluationContext) -> dg.SkipReason:
        return dg.SkipReason(poll(settings, context.instance))

    scheduled = dg.schedule(
        name=SCHEDULE,
        job_name="atlas",
        cron_schedule=settings.model_poll_cron,
        description="Looks up which commit the model's branch means now. It launches nothing: "
        "what is stale after that is made by keep_atlas_up_to_date.",
    )
    try:
        return scheduled(poll_model)
    except dg.DagsterInvalidDefinitionError as error:
        raise SettingsError(
            "the times of the poll are no cron schedule",
            where="ATLAS_MODEL_POLL_CRON",
            expected="minute, hour, day of the month, month and day of the week, as in 0 6 * * *",
            found=repr(settings.model_poll_cron),
            remedy="correct the variable, or unset it for the default",
        ) from error


def poll_sensor(settings: AtlasSettings) -> dg.SensorDefinition:
    """Return the sensor that polls every quarter of an hour; it starts off."""

    @dg.sensor(
        name=SENSOR,
        minimum_interval_seconds=INTERVAL,
        description="As the schedule poll_model, every quarter of an hour: for who wants to know "
        "soon. One of the two is enough.",
    )
    def watch_model(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        return dg.SkipReason(poll(settings, context.instance))

    return watch_model


def poll(settings: AtlasSettings, instance: dg.DagsterInstance) -> str:
    """Look up which model is meant now, report it to Dagster if it is new, and say what was found.

    Raises:
        HubError: the Hub does not say (no secret in its message). Nothing has changed, and the
            next tick asks again.
        AtlasError: the model or its pin on this machine, or the own prompts, cannot be read.
    """
    try:
        model, said = _look(settings)
        grid = grid_in_force(settings)
    except AtlasError as error:
        # Dagster keeps the causes of what fails a tick as well, and theirs may quote a request
        raise error from None
    lineage = Lineage(
        model=model,
        readout=settings.readout,
        site=settings.site,
        dtype=settings.dtype,
        bos=None if settings.bos == "auto" else settings.bos,
        mlp=settings.mlp,
        grid=grid,
    )
    new = announce_model(instance, lineage)
    return f"{said}; {'new to Dagster, and reported' if new else 'nothing has changed'}"


def _look(settings: AtlasSettings) -> tuple[ModelIdentity, str]:
    name = settings.model
    if versions.is_followed(settings):
        sha = versions.look_up(settings).latest.sha
        return ModelIdentity(model_id=name, revision=sha), f"{name} is at {sha}"
    if versions.lies_on_hub(settings):
        pinned = settings.model_revision
        said = f"{name} is pinned to {pinned} by ATLAS_MODEL_REVISION: there is nothing to follow"
        return ModelIdentity(model_id=name, revision=pinned), said
    return AtlasModel(settings, ask_hub=False).identity, f"{name} lies on this machine"
