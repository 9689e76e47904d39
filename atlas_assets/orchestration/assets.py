"""Every artifact of the catalogue as a Dagster asset.

Key, group, kinds, description, dependencies, partitions, code version and IO manager follow from
the `Artifact`, and what the asset does is `Artifact.compute`: graph and files cannot disagree.
What runs the model depends on the external asset ``model``.
"""

import inspect
import warnings
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import dagster as dg

from atlas_assets.errors import SettingsError
from atlas_assets.interrupts import raise_missed
from atlas_assets.models.memory import give_back, short_of_memory
from atlas_assets.orchestration.data_versions import MODEL, data_version_of_cells
from atlas_assets.orchestration.io_managers.base import Deferred
from atlas_assets.orchestration.making import Step
from atlas_assets.orchestration.partitions import Partitions, partition_key
from atlas_assets.orchestration.sweep import Materialise, complete_sweep
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.artifact import Artifact, Model
from atlas_assets.stages.catalog import ARTIFACTS, NOT_APPLICABLE, skipped_under
from atlas_assets.stages.making import NotInSweepError
from atlas_assets.stages.setting import DEFINITIONS, Setting

OWNERS = ["team:csp-atlas"]
#: assets that run the network share this pool. It has no limit by default: a killed run would keep
#: its slot, and no run could start until somebody freed it. Set one where a daemon frees slots.
MODEL_POOL = "model"


def assets_of(
    settings: AtlasSettings,
    partitions: Partitions,
    checks: Sequence[dg.AssetChecksDefinition],
    resources: Mapping[str, Any],
) -> list[dg.AssetsDefinition]:
    """Return the assets of the whole catalogue.

    Args:
        settings: the settings in force; code versions that depend on them hold their values.
        partitions: the partitions of every space.
        checks: the checks of each artifact, in the order of the catalogue.
        resources: what the runs are given in which an asset materialises others.
    """
    found: list[dg.AssetsDefinition] = []
    checked_apart: list[dg.AssetChecksDefinition] = []
    skipped = skipped_under(settings)
    for artifact, its_checks in zip(ARTIFACTS.values(), checks, strict=True):
        materialise = partial(dg.materialize, [*found, *checked_apart], resources=resources)
        found.append(_asset(artifact, settings, partitions, materialise, skipped))
        if artifact.partitions is DEFINITIONS:
            checked_apart.append(its_checks)
    return found


def _asset(
    artifact: Artifact,
    settings: AtlasSettings,
    partitions: Partitions,
    materialise: Materialise,
    skipped: Mapping[str, str],
) -> dg.AssetsDefinition:
    partitioned: dict[str, Any] = {}
    if artifact.partitions is not None:
        # one run may cover the whole space: activations are then read once for all partitions
        partitioned = {
            "partitions_def": partitions[artifact.partitions.name],
            "backfill_policy": dg.BackfillPolicy.single_run(),
        }
    resources = {"settings", "store", *(["model"] if artifact.runs_model else [])}
    not_applicable = skipped.get(artifact.key, "").startswith(NOT_APPLICABLE)
    loaded = {key for key in artifact.inputs if _is_loaded(artifact, ARTIFACTS[key])}
    if not_applicable:
        loaded = set()
    with warnings.catch_warnings():
        # backfill_policy and code references are beta in Dagster; the tests run through both
        warnings.simplefilter("ignore", dg.BetaWarning)
        declare: Callable[[Callable[..., Any]], dg.AssetsDefinition] = dg.asset(
            key=artifact.key,
            ins={key: _input(artifact, key) for key in sorted(loaded)},
            deps=_dependencies(artifact, settings, loaded, skipped),
            group_name=artifact.group.removeprefix("stage_"),
            description=artifact.described(settings.stimuli is not None),
            kinds=set(artifact.kinds),
            owners=OWNERS,
            tags={"needs": "model" if artifact.runs_model else "files"},
            code_version=artifact.version(settings.parameters),
            io_manager_key=f"{artifact.kind}_io_manager",
            metadata={"file": artifact.filename, **_code_of(artifact)},
            required_resource_keys=resources,
            output_required=not (artifact.may_be_skipped or not_applicable),
            pool=MODEL_POOL if artifact.model is Model.NETWORK else None,
            **partitioned,
        )

    def make(context: dg.AssetExecutionContext, **inputs: Any) -> Iterator[dg.Output[Any]]:
        if not_applicable:
            context.log.info(f"{artifact.key} is not made: {skipped[artifact.key]}")
            return
        if artifact.completes:
            complete_sweep(context, artifact, materialise)
        yield from _made(context, artifact, inputs)

    return declare(make)


def _made(
    context: dg.AssetExecutionContext, artifact: Artifact, inputs: Mapping[str, Any]
) -> Iterator[dg.Output[Any]]:
    """The artifact; nothing, with a warning, where the sweep lacks the setting it speaks of."""
    raise_missed()
    if artifact.partitioned:
        needed, settings = artifact.setting, context.resources.settings
        if needed is not None and needed not in settings.sweep:
            context.log.warning(f"{artifact.key} is skipped: the sweep lacks {needed}")
            return
        if not (context.has_partition_key or context.has_partition_key_range):
            raise _without_partition(artifact)
        values = _per_partition(context, artifact, inputs)
        version = _data_version(context, artifact)
        with warnings.catch_warnings():
            # data versions of one's own are beta in Dagster; the tests run through them
            warnings.simplefilter("ignore", dg.BetaWarning)
            output = dg.Output(values, data_version=version)
        yield output
        return
    step = Step(context, artifact, inputs)
    try:
        if artifact.setting is not None:
            step.require_in_sweep(artifact.setting)
        yield dg.Output(_computed(artifact, step))
    except NotInSweepError as error:
        context.log.warning(error.what)


def _without_partition(artifact: Artifact) -> SettingsError:
    """Where a job is launched by hand, Dagster asks whether it is to run without, and then does."""
    return SettingsError(
        f"the run is of no partition, and {artifact.key} has a file for each",
        where=artifact.key,
        expected="a run of one of its partitions, or of all",
        found="a run that was launched without one",
        remedy="choose one; for all, run `atlas build`, or `dagster job execute "
        "-m atlas_assets.definitions -j sweep`, or materialise all on the page of the asset graph",
    )


def _computed(artifact: Artifact, step: Step) -> Any:
    raise_missed()
    try:
        return artifact.compute(step)
    except (MemoryError, RuntimeError) as error:
        told = short_of_memory(error)
        if told is None:
            raise
        raise told from error
    finally:
        if artifact.model is Model.NETWORK:
            give_back()


def _per_partition(
    context: dg.AssetExecutionContext,
    artifact: Artifact,
    inputs: Mapping[str, Any],
) -> dict[str, Deferred]:
    """{partition key: what makes it}, each made when it is written.

    One partition's masks are as large as all tables together.
    """
    found = {}
    for key in context.partition_keys:
        step = Step(context, artifact, inputs, artifact.partition_named(key))
        found[key] = Deferred(
            make=partial(_computed, artifact, step),
            tell=partial(context.add_asset_metadata, asset_key=artifact.key, partition_key=key),
            remark=step.remarked,
        )
    return found


def _data_version(context: dg.AssetExecutionContext, artifact: Artifact) -> dg.DataVersion:
    """What the partitions of the run are made from.

    Other assets have Dagster's own data versions, which follow from code versions and inputs.
    """
    store = context.resources.store
    settings = [artifact.partition_named(key) for key in context.partition_keys]
    records = [(store.prospect(artifact.key, setting), setting) for setting in settings]
    return dg.DataVersion(data_version_of_cells(store, records))


def _is_loaded(artifact: Artifact, source: Artifact) -> bool:
    """Whether Dagster loads the input before the step; else it is read when it is wanted.

    An input that may be absent, or of which one partition is read, is read when it is wanted; so
    is one that a sweep may have skipped with the artifact.
    """
    if artifact.inputs_may_be_absent or source.key in artifact.completes:
        return False
    if artifact.may_be_skipped and source.may_be_skipped:
        return False
    one_partition = source.partitioned and not artifact.partitioned and artifact.setting is not None
    return not one_partition


def _input(artifact: Artifact, key: str) -> dg.AssetIn:
    part = artifact.parts.get(key)
    # several partitions come as a mapping, and so does one alone
    kind = dict if ARTIFACTS[key].partitioned else Any
    return dg.AssetIn(metadata={"part": part} if part else None, dagster_type=kind)


def _dependencies(
    artifact: Artifact, settings: AtlasSettings, loaded: set[str], skipped: Container[str]
) -> list[str | dg.AssetDep]:
    found: list[str | dg.AssetDep] = []
    # what is completed in a run of its own needs its inputs before that
    apart = (key for key in artifact.completes if ARTIFACTS[key].partitions is DEFINITIONS)
    before = (name for key in apart for name in ARTIFACTS[key].inputs)
    for key in (*artifact.inputs, *artifact.completes, *before):
        absent = key in artifact.completes or artifact.inputs_may_be_absent
        if key in loaded or key in found or (absent and key in skipped):
            continue
        single = ARTIFACTS[key].partitioned and artifact.setting in settings.sweep
        found.append(_on_one_partition(key, artifact.setting) if single else key)
    return [*found, *([MODEL] if artifact.runs_model else [])]


def _on_one_partition(key: str, setting: Setting | None) -> dg.AssetDep:
    if setting is None:
        return dg.AssetDep(key)
    mapping = dg.SpecificPartitionsPartitionMapping([partition_key(setting)])
    return dg.AssetDep(key, partition_mapping=mapping)


def _code_of(artifact: Artifact) -> dict[str, Any]:
    """Where the computation stands, for the link in Dagster's UI."""
    function = artifact.compute
    while isinstance(function, partial):
        function = function.func
    file = inspect.getsourcefile(function)
    if file is None:
        return {}
    line = function.__code__.co_firstlineno
    reference = dg.LocalFileCodeReference(file_path=file, line_number=line, label=artifact.key)
    value = dg.CodeReferencesMetadataValue(code_references=[reference])
    return {"dagster/code_references": value}
