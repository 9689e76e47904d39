"""A series of checkpoints in Dagster: an atlas of each, then a table and a figure over all."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import indent
from typing import Any

import dagster as dg
from upath import UPath

from atlas_assets.atlas.open import open_in_force, open_to_build, require_file
from atlas_assets.atlas.series import Checkpoint, listed, other_tokenizers, passed_over
from atlas_assets.atlas.status import survey
from atlas_assets.atlas.versions import lies_on_hub
from atlas_assets.errors import AtlasError, ModelError, shortened
from atlas_assets.files.remote import folder_at
from atlas_assets.orchestration.assets import OWNERS
from atlas_assets.orchestration.partitions import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)
from atlas_assets.orchestration.telling import run_and_tell
from atlas_assets.orchestration.version import CHECKPOINT_TAG
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.catalog import ON_DEMAND, skipped_under
from atlas_assets.stages.figures.caption import Caption
from atlas_assets.stages.series import SERIES_SCHEMA, Moment, circuits_over_training
from atlas_assets.stages.setting import REFERENCE, Setting
from atlas_assets.storage.codec import Codec
from atlas_assets.storage.figures import FigureFile
from atlas_assets.storage.provenance import Provenance
from atlas_assets.storage.tables import CsvTable

GROUP = "series"
ATLASES, TABLE, FIGURE = "checkpoint_atlases", "circuits_over_training", "figure_training"
_VERSION = "1"
#: of a file that need not be made again
_DONE = ("fresh", "not in the sweep", "not applicable")


def series_definitions(
    settings: AtlasSettings,
    series: Sequence[Checkpoint],
    definitions_of: Callable[[AtlasSettings], dg.Definitions],
) -> dg.Definitions:
    """Return the definitions of a series; its job ``atlas`` makes everything.

    Args:
        settings: the settings that name the series.
        series: its checkpoints.
        definitions_of: gives the definitions of one atlas.
    """
    of_label = {checkpoint.label: checkpoint for checkpoint in series}
    atlases = _atlases(settings, of_label, definitions_of)
    over_all = _over_training(settings, series)
    whole = {
        ASSET_PARTITION_RANGE_START_TAG: series[0].label,
        ASSET_PARTITION_RANGE_END_TAG: series[-1].label,
    }
    job = dg.define_asset_job(
        "atlas",
        selection=dg.AssetSelection.all(),
        run_tags=whole,
        description="An atlas of every checkpoint, and what they show over training.",
    )
    return dg.Definitions(
        assets=[atlases, over_all],
        jobs=[job],
        executor=dg.in_process_executor,
        metadata={"settings": dg.MetadataValue.json(settings.model_dump(mode="json"))},
    )


def _atlases(
    settings: AtlasSettings,
    of_label: dict[str, Checkpoint],
    definitions_of: Callable[[AtlasSettings], dg.Definitions],
) -> dg.AssetsDefinition:
    with warnings.catch_warnings():
        # backfill_policy is beta in Dagster; the tests run through it
        warnings.simplefilter("ignore", dg.BetaWarning)
        declare = dg.asset(
            key=ATLASES,
            group_name=GROUP,
            description="The atlas of each checkpoint, in a folder of its own; one that is "
            "complete and fresh is left as it is, and one that cannot be built stops no other.",
            kinds={"dagster"},
            owners=OWNERS,
            code_version=_VERSION,
            partitions_def=dg.StaticPartitionsDefinition(list(of_label)),
            backfill_policy=dg.BackfillPolicy.single_run(),
        )

    def checkpoint_atlases(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        failed: dict[str, Exception] = {}
        others = passed_over(settings)
        if others:
            context.log.warning(f"passed over, without a config.json: {listed(others)}")
        for label in context.partition_keys:
            try:
                _build(context, of_label[label], definitions_of)
            except Exception as error:  # the other checkpoints have nothing to do with it
                failed[label] = _cause(error)
                context.log.warning(f"{label} has no atlas: {shortened(str(failed[label]))}")
        made = [label for label in context.partition_keys if label not in failed]
        if failed:
            # of a step that fails, Dagster keeps what has been logged
            for label in made:
                context.log_event(dg.AssetMaterialization(ATLASES, partition=label))
            if made and len(made) + len(failed) == len(of_label):
                try:
                    compared = _compare(context, settings, [of_label[label] for label in made])
                except AtlasError as error:  # what has no atlas is to be told all the same
                    context.log.warning(f"not compared over training: {shortened(str(error))}")
                    compared = {}
                for key, told in compared.items():
                    context.log_event(dg.AssetMaterialization(key, metadata=told))
            raise _without_atlas(failed, len(made)) from next(iter(failed.values()))
        for label in made:
            folder = str(open_in_force(of_label[label].settings).root)
            context.add_asset_metadata({"folder": folder}, partition_key=label)
        return dg.MaterializeResult()

    return declare(checkpoint_atlases)


def _build(
    context: dg.AssetExecutionContext,
    one: Checkpoint,
    definitions_of: Callable[[AtlasSettings], dg.Definitions],
) -> None:
    """Build the atlas of a checkpoint in a run of its own, unless it is complete and fresh."""
    if _is_done(one.settings):
        context.log.info(f"{one.label}: the atlas is complete and fresh")
        return
    context.log.info(f"{one.label}: building the atlas")
    tags = {CHECKPOINT_TAG: one.label, "atlas/series_of_run": context.run.run_id}
    job = definitions_of(one.settings).resolve_job_def("atlas")
    # the whole log is that run's own; what failed it is raised, and told by this one
    run_and_tell(
        job, context.instance, (), _Warnings(context, one.label), raise_on_error=True, tags=tags
    )


@dataclass(frozen=True)
class _Warnings:
    """Logs the warnings of a checkpoint's run in that of the series, by its label."""

    context: dg.AssetExecutionContext
    label: str

    def done(self, asset: str, seconds: float | None) -> None:
        """Leave it to the run's own log."""

    def warned(self, step: str, sentence: str) -> None:
        self.context.log.warning(f"{self.label}: {step}: {sentence}")


def _cause(error: Exception) -> Exception:
    """What failed a run, which Dagster wraps in errors of its own."""
    while isinstance(error, dg.DagsterError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _without_atlas(failed: dict[str, Exception], n_made: int) -> ModelError:
    causes = "\n".join(f"{label}: {error}" for label, error in failed.items())
    others = f"{n_made} of the series were built, and compared where they can be and all were run"
    return ModelError(
        f"{len(failed)} of {len(failed) + n_made} checkpoints have no atlas"
        + (f"; {others}" if n_made else ""),
        where=", ".join(failed),
        found=f"why, of each:\n{indent(causes, ' ' * 4)}",
        remedy="do as said of each, or take it out of the series; then build again: atlases that "
        "are complete are left as they are",
    )


def _is_done(settings: AtlasSettings) -> bool:
    store, _ = open_to_build(settings)
    states = survey(store, skipped=skipped_under(settings))
    made = (state for state in states if state.on_grid and state.artifact not in ON_DEMAND)
    return all(state.state in _DONE for state in made)


def _over_training(settings: AtlasSettings, series: Sequence[Checkpoint]) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name="over_training",
        specs=[
            dg.AssetSpec(
                key,
                deps=[ATLASES],
                group_name=GROUP,
                description=description,
                kinds={kind},
                owners=OWNERS,
                code_version=_VERSION,
            )
            for key, kind, description in (
                (TABLE, "csv", "Size, concept fraction and likeness of circuits per checkpoint."),
                (FIGURE, "png", "The same as lines over the steps. PNG, and PDF beside it."),
            )
        ],
    )
    def over_training(
        context: dg.AssetExecutionContext,
    ) -> tuple[dg.MaterializeResult[None], dg.MaterializeResult[None]]:
        told = _compare(context, settings, series)
        return (
            dg.MaterializeResult(asset_key=TABLE, metadata=told[TABLE]),
            dg.MaterializeResult(asset_key=FIGURE, metadata=told[FIGURE]),
        )

    return over_training


def _compare(
    context: dg.AssetExecutionContext, settings: AtlasSettings, series: Sequence[Checkpoint]
) -> dict[str, dict[str, Any]]:
    """Write the table and the figure over checkpoints; return what to tell of each file."""
    from atlas_assets.stages.figures.series import make  # imports matplotlib

    setting = REFERENCE if REFERENCE in settings.sweep else settings.sweep[0]
    moments, inputs, notice = _moments(series, setting)
    if notice is not None:
        context.log.warning(notice)
    table = circuits_over_training(moments, setting)
    on_hub = lies_on_hub(settings)
    model = settings.model if on_hub else UPath(settings.model).absolute().name
    drawn = make(table, Caption(model, settings.read_at, setting, notice))
    folder = folder_at(settings.data_dir) / settings.atlas_name
    written = (
        (TABLE, CsvTable(SERIES_SCHEMA), table, folder / f"{TABLE}.csv"),
        (FIGURE, FigureFile(), drawn, folder / f"{FIGURE}.png"),
    )
    for key, codec, value, path in written:
        _write(key, codec, value, path, setting, inputs)
    told = {"folder": str(folder), "checkpoints": len(series)}
    return {key: told | ({"notice": notice} if notice else {}) for key, *_ in written}


def _moments(
    series: Sequence[Checkpoint], setting: Setting
) -> tuple[list[Moment], dict[str, str], str | None]:
    """What every checkpoint shows at the setting, the digests of the masks read, and a notice."""
    moments, inputs, records = [], {}, {}
    for checkpoint in series:
        store = open_in_force(checkpoint.settings)
        require_file(store, "object_masks", setting)
        universal = store.read("object_masks", setting, part="universal").universal
        decomposed = store.exists("target_checker", setting)
        table = store.read("target_checker", setting) if decomposed else None
        moments.append(Moment(checkpoint.label, checkpoint.step, universal, table))
        inputs[checkpoint.label] = universal.digest()
        records[checkpoint.label] = store.provenance("object_masks", setting)
    return moments, inputs, other_tokenizers(records)


def _write(
    key: str,
    codec: Codec[Any],
    value: Any,
    path: UPath,
    setting: Setting,
    inputs: dict[str, str],
) -> None:
    codec.check(value, where=key)
    record = Provenance(
        artifact=key,
        code_version=_VERSION,
        origin="atlas",
        setting=setting,
        inputs=inputs,
        payload_sha256=codec.payload_digest(value),
        parts=dict(codec.part_digests(value)),
    )
    codec.write(path, value, record)
