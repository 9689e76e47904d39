"""Which materialisations may be published: what Dagster's event log says, and no file is read."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter

# neither is exported by Dagster, whose version is pinned
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecordStatus as Status,
)

from atlas_assets.errors import SettingsError
from atlas_assets.orchestration.partitions import partition_key
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.checks import checks_of
from atlas_assets.soundness.subject import Cell as AtlasCell
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.setting import Setting

#: materialisations of one asset that a tick looks at, newest first; older ones are superseded
_LIMIT = 500
#: seconds without an event after which an unfinished run counts as dead
_SILENCE = 3600.0
_DIGITS = 16
_LISTED = 3
_UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


@dataclass(frozen=True, order=True)
class Cell:
    """An asset, or a partition of one.

    Attributes:
        asset: key.
        partition: ``C|ε``; empty for an asset that has none.
    """

    asset: str
    partition: str = ""

    @property
    def name(self) -> str:
        """``summary``, or ``object_masks|0.8|0.5``."""
        return f"{self.asset}|{self.partition}" if self.partition else self.asset


@dataclass(frozen=True)
class Made:
    """A materialisation.

    Attributes:
        storage_id: of its event; larger for a later one.
        content: digest of what it says of its file.
    """

    storage_id: int
    content: str


@dataclass(frozen=True)
class Cursor:
    """What the sensor remembers; it grows with the number of cells, and not with time.

    Attributes:
        seen: asset → storage id up to which everything is decided.
        published: cell → the materialisation that a run was requested for.
        content: digest of all of those together.
        target: repository that they were published to.
    """

    seen: Mapping[str, int] = field(default_factory=dict)
    published: Mapping[Cell, Made] = field(default_factory=dict)
    content: str = ""
    target: str = ""

    @classmethod
    def parse(cls, text: str | None) -> Cursor:
        """The cursor in a text; a new one where it is none of ours: what it asks for again is
        there already, and is not committed twice."""
        try:
            fields = json.loads(text or "")
            published = {
                Cell(asset, partition): Made(int(storage_id), str(content))
                for asset, partition, storage_id, content in fields["published"]
            }
            seen = {str(asset): int(storage_id) for asset, storage_id in fields["seen"].items()}
            return cls(seen, published, str(fields["content"]), str(fields["target"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def dump(self) -> str:
        """As text."""
        published = [
            [cell.asset, cell.partition, made.storage_id, made.content]
            for cell, made in sorted(self.published.items())
        ]
        fields = {
            "seen": dict(self.seen),
            "published": published,
            "content": self.content,
            "target": self.target,
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True)
class Found:
    """What a tick found.

    Attributes:
        before: the cursor as it was.
        cursor: as it is to be once a run is requested.
        cells: everything that may be published, sorted.
        is_new: whether any of it was made since.
        waiting: what may not be published yet, and why; empty where all may.
    """

    before: Cursor
    cursor: Cursor
    cells: tuple[Cell, ...]
    is_new: bool
    waiting: str

    @property
    def content(self) -> str:
        """Digest of all that may be published."""
        return self.cursor.content

    @property
    def newest(self) -> int:
        """Storage id of its latest materialisation."""
        return max((made.storage_id for made in self.cursor.published.values()), default=0)


def look(instance: dg.DagsterInstance, settings: AtlasSettings, before: Cursor) -> Found:
    """What may be published: the latest materialisation of each cell, if it passed its checks.

    Args:
        instance: whose event log is read.
        settings: name the sweep (files of other settings are not published), and the repository.
        before: the cursor; of another repository, it says nothing.
    """
    target = settings.hub_target or ""
    before = before if before.target == target else Cursor(target=target)
    published, seen = dict(before.published), dict(before.seen)
    undecided: list[str] = []
    failed: list[str] = []
    for asset, partitions in _watched(settings).items():
        made = _latest(instance, asset, before.seen.get(asset), partitions)
        held = []
        for cell, materialisation in made.items():
            passed = _passed(instance, cell, materialisation.storage_id)
            if passed:
                published[cell] = materialisation
                continue
            # what lies on disk now is not what was published before
            published.pop(cell, None)
            held.append(materialisation.storage_id)
            (undecided if passed is None else failed).append(cell.name)
        newest = max((m.storage_id for m in made.values()), default=0)
        seen[asset] = max(seen.get(asset, 0), min(held) - 1 if held else newest)
    cells = tuple(sorted(cell for cell in published if cell.asset in ARTIFACTS))
    contents = {cell.name: made.content for cell, made in published.items()}
    cursor = Cursor(seen, published, _digest({"target": target, **contents}), target)
    return Found(
        before=before,
        cursor=cursor,
        cells=cells,
        is_new=bool(cells) and any(before.published.get(c) != m for c, m in published.items()),
        waiting="; ".join(
            [
                *_told(undecided, "waiting for the checks of"),
                *_told(failed, "a blocking check failed on"),
            ]
        ),
    )


def unfinished(instance: dg.DagsterInstance, *, publishing: str) -> str | None:
    """Which run is to be waited for; ``None`` where there is none.

    A run in progress may still change the files of the atlas. One that has been silent for an hour
    was killed, and is not waited for.

    Args:
        instance: knows the runs.
        publishing: name of the job that publishes.
    """
    for run in instance.get_runs(dg.RunsFilter(statuses=list(_UNFINISHED)), limit=100):
        if _is_silent(instance, run.run_id):
            continue
        if run.job_name == publishing:
            return f"run {run.run_id[:8]} is publishing"
        return f"run {run.run_id[:8]} ({run.job_name}) has not finished"
    return None


def parse_cell(name: str, sweep: Sequence[Setting]) -> list[AtlasCell]:
    """The cells of the atlas that a run is told to publish.

    Args:
        name: ``summary``, ``object_masks`` (at every setting of the sweep), or
            ``object_masks|0.8|0.5``.
        sweep: in force.

    Raises:
        SettingsError: there is no such cell.
    """
    asset, _, partition = name.partition("|")
    artifact = ARTIFACTS.get(asset)
    if artifact is None or (partition and not artifact.partitioned):
        raise SettingsError(
            "the atlas has no such asset or partition",
            where=name,
            expected="an asset, or asset|C|ε",
            found=repr(name),
            remedy="correct `cells` in the run's config",
        )
    if not artifact.partitioned:
        return [(asset, None)]
    return (
        [(asset, Setting.of_partition_key(partition))]
        if partition
        else [(asset, at) for at in sweep]
    )


def _watched(settings: AtlasSettings) -> dict[str, tuple[str, ...]]:
    """Asset → its partitions; none of one that has none."""
    from atlas_assets.orchestration.version import KEY

    keys = tuple(str(partition_key(at)) for at in settings.sweep)
    watched = {key: keys if a.partitioned else () for key, a in ARTIFACTS.items()}
    # another version of the atlas in force is another content, though no file was made just then
    return {**watched, KEY: ()}


def _latest(
    instance: dg.DagsterInstance, asset: str, after: int | None, partitions: Sequence[str]
) -> dict[Cell, Made]:
    """The latest materialisation of each cell of an asset, of those later than ``after``."""
    where = dg.AssetRecordsFilter(dg.AssetKey(asset), after_storage_id=after or None)
    found: dict[Cell, Made] = {}
    for record in instance.fetch_materializations(where, limit=_LIMIT).records:
        partition = str(record.partition_key or "")
        if partition in (partitions or ("",)):
            made = Made(record.storage_id, _content_of(record))
            found.setdefault(Cell(asset, partition), made)
    return found


def _passed(instance: dg.DagsterInstance, cell: Cell, storage_id: int) -> bool | None:
    """Whether this materialisation passed its blocking checks; ``None``: not all have been run."""
    if cell.asset not in ARTIFACTS:
        return True
    key = dg.AssetKey(cell.asset)
    checks = [dg.AssetCheckKey(key, check.name) for check in checks_of(cell.asset)]
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(
        checks, PartitionKeyFilter(key=cell.partition) if cell.partition else None
    )
    about = [records[check] for check in checks if check in records]
    about = [record for record in about if _target(record) == storage_id]
    if any(record.status == Status.FAILED for record in about):
        return False
    return True if len(about) == len(checks) else None


def _target(record: Any) -> int | None:
    """Storage id of the materialisation that an evaluation speaks of."""
    if record.status not in (Status.SUCCEEDED, Status.FAILED) or record.event is None:
        return None
    event = record.event.dagster_event
    data = event.asset_check_evaluation_data.target_materialization_data if event else None
    return data.storage_id if data else None


def _content_of(record: dg.EventLogRecord) -> str:
    """Digest of what a materialisation says of its file: equal for equal files."""
    materialisation = record.asset_materialization
    metadata = materialisation.metadata if materialisation else {}
    told = {
        name: getattr(metadata[name], "value", None)
        for name in ("provenance", "source_sha256", "folder", "model_sha")
        if name in metadata
    }
    return _digest(told or {"storage_id": record.storage_id})


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _is_silent(instance: dg.DagsterInstance, run_id: str) -> bool:
    records = instance.get_records_for_run(run_id, limit=1, ascending=False).records
    return bool(records) and time.time() - records[0].timestamp > _SILENCE


def _told(names: Iterable[str], what: str) -> Iterator[str]:
    listed = sorted(names)
    if listed:
        more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
        yield f"{what} {', '.join(listed[:_LISTED])}{more}"
