"""The state of every file of an atlas: present, fresh or stale, damaged, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, get_args

from upath import UPath

from atlas_assets.errors import (
    ArtifactError,
    BusyArtifactError,
    ForeignArtifactError,
    UnreadableArtifactError,
)
from atlas_assets.files.locations import file_size
from atlas_assets.stages.catalog import ARTIFACTS, NOT_APPLICABLE, NOT_IN_SWEEP, artifact_of_file
from atlas_assets.stages.setting import Partition
from atlas_assets.storage import source_record
from atlas_assets.storage.codecs import codec_of
from atlas_assets.storage.folder import file_names, only_read, partitions_present
from atlas_assets.storage.provenance import Provenance
from atlas_assets.storage.source_record import SourceRecord
from atlas_assets.storage.store import AtlasStore

State = Literal[
    "fresh",
    "not in the sweep",
    "not applicable",
    "on demand",
    "stale",
    "missing",
    "busy",
    "unreadable",
    "foreign",
    "damaged",
]
#: from the best to the worst
STATES: tuple[State, ...] = get_args(State)
#: of the files that are there and cannot be read
ILLEGIBLE = STATES[6:]
_STATE_OF: Mapping[type[ArtifactError], State] = {
    BusyArtifactError: "busy",
    UnreadableArtifactError: "unreadable",
    ForeignArtifactError: "foreign",
}


@dataclass(frozen=True)
class FileState:
    """One file that an atlas has or should have.

    Attributes:
        artifact: the asset key.
        group: the asset group.
        setting: the setting of the file, where there is one file per setting.
        on_grid: whether that setting is one of the sweep's.
        path: the path of the file, there or not.
        size_bytes: the size of the file; ``None`` when it is missing.
        state: ``fresh``: need not be made again; ``not in the sweep``: not there, and not made,
            since the sweep lacks a setting that it needs; ``not applicable``: likewise, since own
            prompts lack what it is about; ``on demand``: not there, and made by the job
            ``validate`` alone; ``stale``; ``missing``; of a file that cannot be read, why:
            ``busy``, ``unreadable``, ``foreign`` or ``damaged``.
        reason: why the file is not fresh.
        provenance: the file's record of its making; ``None`` for files without, and for missing
            and damaged ones.
        source: where the file's content was fetched from; ``None`` when it was not.
    """

    artifact: str
    group: str
    setting: Partition | None
    on_grid: bool
    path: UPath
    size_bytes: int | None
    state: State
    reason: str | None
    provenance: Provenance | None
    source: SourceRecord | None = None

    @property
    def origin(self) -> str | None:
        """`AtlasStore.origin` of the file, or ``None`` when there is no legible one."""
        if self.size_bytes is None or self.state in ILLEGIBLE:
            return None
        said = self.provenance or self.source
        return said.origin if said else "unknown"


def survey(
    store: AtlasStore, *, verify: bool = False, skipped: Mapping[str, str] = MappingProxyType({})
) -> list[FileState]:
    """Return the state of every file, in the order of the pipeline, settings ascending.

    Files at settings off the sweep are listed where they are there. With ``verify`` every file is
    read whole and its content checked against its digest; otherwise damage is noticed only where
    a file's record of its making cannot be read. Of the artifacts in ``skipped``, which are not
    made (`stages.catalog.skipped_under`), no file is missed.
    """
    with only_read(store.root):
        return list(_states(store, verify, skipped))


def _states(store: AtlasStore, verify: bool, skipped: Mapping[str, str]) -> Iterator[FileState]:
    for key, artifact in ARTIFACTS.items():
        settings = store.partitions(key)
        if artifact.partitioned:
            off_grid = set(partitions_present(store.root, key)).difference(settings)
            settings = [*settings, *sorted(off_grid)]
        for state in (_state(store, key, setting, verify) for setting in settings):
            if state.state == "missing" and key in skipped:
                reason = skipped[key]
                in_sweep = reason != NOT_IN_SWEEP
                name: State = "not applicable" if in_sweep else "not in the sweep"
                told = reason.removeprefix(f"{NOT_APPLICABLE}: ")
                state = replace(state, state=name, reason=told)
            elif state.state == "missing" and artifact.on_demand:
                told = "the job validate makes it"
                state = replace(state, state="on demand", reason=told)
            yield state


def other_files(store: AtlasStore) -> list[str]:
    """Return the sorted names of files in the folder that no artifact has."""
    known = {
        file.name
        for artifact in ARTIFACTS.values()
        if not artifact.partitioned
        for file in codec_of(artifact).files(store.path(artifact.key))
    }
    names = file_names(store.root)
    return [name for name in names if name not in known and artifact_of_file(name) is None]


def _state(store: AtlasStore, key: str, setting: Partition | None, verify: bool) -> FileState:
    codec, path = codec_of(ARTIFACTS[key]), store.path(key, setting)
    found = FileState(
        artifact=key,
        group=ARTIFACTS[key].group,
        setting=setting,
        on_grid=setting in store.partitions(key),
        path=path,
        size_bytes=None,
        state="missing",
        reason="it is missing",
        provenance=None,
        source=source_record.source_of(*codec.files(path)),
    )
    try:
        if not store.exists(key, setting):
            return found
        # one of a set may still wait for its place
        found = replace(found, size_bytes=sum(map(file_size, codec.files(path))))
        found = replace(found, provenance=store.provenance(key, setting))
        if verify:
            codec.read(path, setting=setting)
    except ArtifactError as error:
        state = _STATE_OF.get(type(error), "damaged")
        return replace(found, state=state, reason=_one_line(error), provenance=None)
    try:
        reason = store.stale_reason(key, setting)
    except ArtifactError as error:
        reason = f"an input is {_STATE_OF.get(type(error), 'damaged')}: {_one_line(error)}"
    return replace(found, state="stale" if reason else "fresh", reason=reason)


def _one_line(error: ArtifactError) -> str:
    found = f" ({error.found})" if error.found else ""
    return f"{error.what}, {error.where}{found}" if error.where else f"{error.what}{found}"
