"""Bringing a partition space up to date: partitions that are missing or stale, and only those."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import dagster as dg

from atlas_assets.errors import (
    ArtifactError,
    BusyArtifactError,
    ForeignArtifactError,
    MissingArtifactError,
    UnreadableArtifactError,
)
from atlas_assets.orchestration.partitions import range_tags
from atlas_assets.stages.artifact import Artifact
from atlas_assets.stages.catalog import ARTIFACTS, skipped_under
from atlas_assets.stages.setting import DEFINITIONS, Partition, Setting
from atlas_assets.storage.store import AtlasStore

#: {partition: {artifact: why it must be made}}
Outdated = Mapping[Partition, Mapping[str, str]]
#: the first and the last setting of a rectangle of the grid
Block = tuple[Setting, Setting]
#: `dagster.materialize` with the assets that are completed, what feeds them, their checks and
#: their resources
Materialise = Callable[..., Any]
#: how much of such a run is printed
_ONLY_WARNINGS = {"loggers": {"console": {"config": {"log_level": "WARNING"}}}}
#: on a run of checks, the run that asked for it
_CHECKS_OF_RUN = "atlas/checks_of_run"


def outdated_partitions(
    store: AtlasStore, keys: Iterable[str], settings: Iterable[Partition]
) -> Outdated:
    """Return the partitions of the artifacts ``keys`` that are not up to date, and why."""
    keys = tuple(keys)
    found = {}
    for setting in settings:
        reasons = {key: _reason(store, key, setting) for key in keys}
        outdated = {key: reason for key, reason in reasons.items() if reason is not None}
        if outdated:
            found[setting] = outdated
    return found


def _reason(store: AtlasStore, key: str, setting: Partition) -> str | None:
    try:
        reason = store.stale_reason(key, setting)
        if reason is None:
            # a record may be intact where the content is not; of the pairs only the record is read
            store.recall(key, setting, part="universal" if key == "object_masks" else None)
    except (BusyArtifactError, ForeignArtifactError, UnreadableArtifactError):
        raise  # such a file would not be replaced
    except ArtifactError as error:
        # a damaged partition is made again; if it is the activations, reading them will say so
        return f"it cannot be read ({error.what})"
    return reason


def complete_sweep(
    context: dg.AssetExecutionContext, artifact: Artifact, materialise: Materialise
) -> None:
    """Materialise the missing and stale partitions of what ``artifact`` completes, in few runs.

    Every read validates what it reads. The checks of masks run with the job ``atlas``, which makes
    them: reading them back takes longer than making them. Circuits are in no run but such ones, so
    their checks run here, once for each run that asks. Raises MissingArtifactError where a
    partition must be made and its activations are not there.
    """
    store: AtlasStore = context.resources.store
    skipped = skipped_under(context.resources.settings)
    completes = [key for key in artifact.completes if key not in skipped]
    whole = [each for key in completes[:1] for each in store.partitions(key) if each is not None]
    outdated = outdated_partitions(store, completes, whole)
    if not outdated:
        context.log.info(f"every partition of {', '.join(artifact.completes)} is up to date")
    _require_inputs(store, outdated)
    for setting, reasons in outdated.items():
        for key, reason in reasons.items():
            context.log.info(f"{key} at {setting}: {reason}; materialising it")
    for keys, partitions in _selections(outdated):
        for first, last in _runs(partitions, whole):
            tags = {
                **range_tags(first, last),
                "atlas/completes_sweep_of_run": context.run.run_id,
            }
            # what it writes is logged by the run that asks for it
            materialise(
                selection=dg.AssetSelection.assets(*keys).without_checks(),
                instance=context.instance,
                tags=tags,
                run_config=_ONLY_WARNINGS,
            )
    apart = [key for key in completes if ARTIFACTS[key].partitions is DEFINITIONS]
    if apart:
        _check_once(context, apart, (whole[0], whole[-1]), materialise)


def _check_once(
    context: dg.AssetExecutionContext,
    keys: Sequence[str],
    ends: tuple[Partition, Partition],
    materialise: Materialise,
) -> None:
    """Run the checks of all partitions, unless another step of the run in progress had them run."""
    of_this_run = {_CHECKS_OF_RUN: context.run.run_id}
    if not context.instance.get_runs_count(dg.RunsFilter(tags=of_this_run)):
        materialise(
            selection=dg.AssetSelection.checks_for_assets(*keys),
            instance=context.instance,
            tags={**range_tags(*ends), **of_this_run},
            run_config=_ONLY_WARNINGS,
        )


def _runs(
    partitions: Sequence[Partition], whole: Sequence[Partition]
) -> Sequence[tuple[Partition, Partition]]:
    """Return the first and the last partition of each run that is needed, out of the whole."""
    settings = [each for each in partitions if isinstance(each, Setting)]
    if settings:
        return blocks(settings, [each for each in whole if isinstance(each, Setting)])
    stretches = groupby(whole, key=lambda each: each in partitions)
    runs = [list(stretch) for wanted, stretch in stretches if wanted]
    return [(run[0], run[-1]) for run in runs]


def _selections(outdated: Outdated) -> Iterator[tuple[tuple[str, ...], list[Partition]]]:
    """Artifacts that are outdated together, with the partitions in which they are."""
    by_keys = sorted(outdated, key=lambda setting: sorted(outdated[setting]))
    for keys, settings in groupby(by_keys, key=lambda setting: sorted(outdated[setting])):
        yield tuple(keys), list(settings)


def blocks(partitions: Iterable[Setting], sweep: Sequence[Setting]) -> list[Block]:
    """Return the rectangles of the sweep's grid that together hold exactly ``partitions``.

    A run covers a range of neighbouring values in each of the two dimensions. A whole sweep is one
    rectangle; a single partition is one, too.
    """
    wanted = set(partitions)
    consistencies = sorted({setting.consistency for setting in sweep})
    closed: list[Block] = []
    growing: dict[tuple[float, float], Block] = {}
    for epsilon in sorted({setting.epsilon for setting in sweep}):
        row = [c if Setting(epsilon, c) in wanted else None for c in consistencies]
        spans = _spans(row)
        closed += [growing.pop(span) for span in sorted(growing.keys() - spans)]
        for low, high in spans:
            first = growing[low, high][0] if (low, high) in growing else Setting(epsilon, low)
            growing[low, high] = (first, Setting(epsilon, high))
    return sorted([*closed, *growing.values()])


def _spans(row: Sequence[float | None]) -> set[tuple[float, float]]:
    """First and last value of every stretch without a gap."""
    stretches = [list(group) for gap, group in groupby(row, key=lambda c: c is None) if not gap]
    values = [[value for value in stretch if value is not None] for stretch in stretches]
    return {(stretch[0], stretch[-1]) for stretch in values}


def _require_inputs(store: AtlasStore, outdated: Outdated) -> None:
    for key in sorted({key for stale in outdated.values() for key in stale}):
        for source in ARTIFACTS[key].inputs:
            if not store.exists(source):
                raise MissingArtifactError(
                    f"the sweep cannot be completed: {key} needs {source}",
                    where=str(store.path(source)),
                    expected=f"the file of {source}",
                    found="no such file",
                    remedy="build everything with `atlas build`, or "
                    f"{source} alone with `dagster asset materialize -m "
                    f"atlas_assets.definitions --select '*{source}'`",
                )
