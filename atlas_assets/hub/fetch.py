"""Bringing published files into the folder of an atlas: verified, validated, never half."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from upath import UPath

from atlas_assets.errors import (
    ArtifactError,
    AtlasError,
    HubError,
    HubUnavailableError,
    MissingArtifactError,
    SettingsError,
)
from atlas_assets.files import atomic
from atlas_assets.hub.one_atlas import Destination, destination
from atlas_assets.hub.source import PublishedFile, Source
from atlas_assets.hub_client import downloads, repository
from atlas_assets.hub_client.client import HubClient
from atlas_assets.stages.setting import Setting
from atlas_assets.storage import provenance, sidecar, source_record
from atlas_assets.storage.codec import SidecarCodec
from atlas_assets.storage.codecs import codec_of
from atlas_assets.storage.provenance import Lineage, Provenance
from atlas_assets.storage.source_record import SourceRecord
from atlas_assets.storage.store import AtlasStore

State = Literal["fetched", "unchanged", "failed"]
#: files in a row that the Hub does not give before the rest is not asked for
_PATIENCE = 2

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        file: as published.
        path: its place in the atlas.
        state: ``fetched``; ``unchanged``: it was there already; ``failed``: what is there, if
            anything, is as it was.
        record: where its content is from; ``None`` when it failed.
        provenance: what it says of its making; ``None`` for a file of the release, and when it is
            unchanged or failed.
        described: counts and sizes of its content; empty unless it was fetched.
        error: why it failed.
    """

    file: PublishedFile
    path: UPath
    state: State
    record: SourceRecord | None = None
    provenance: Provenance | None = None
    described: Mapping[str, Any] = field(default_factory=dict)
    error: AtlasError | None = None


def choose(
    source: Source, names: Sequence[str] = (), settings: Collection[Setting] = ()
) -> tuple[PublishedFile, ...]:
    """The files of a source that are meant.

    Args:
        source: has them.
        names: file names, paths in the repository, or asset keys; none: all.
        settings: of files per setting, only these; none: all.

    Raises:
        SettingsError: the source has nothing of that name, or not at these settings.
    """
    for name in names:
        _require_known(name, source)
    named = [f for f in source.published if not names or not _meanings(f).isdisjoint(names)]
    for setting in settings:
        _require_setting(setting, source, named)
    return tuple(f for f in named if not settings or f.setting is None or f.setting in settings)


def _meanings(file: PublishedFile) -> set[str]:
    """What someone may call a file."""
    return {file.name, file.artifact.key, *(part.path for part in file.files), *file.clash}


def _require_known(name: str, source: Source) -> None:
    known = sorted({called for file in source.published for called in _meanings(file)})
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=3)
    raise SettingsError(
        "the source has no such file",
        where=str(source),
        expected=" or ".join(near) or "a file name or an asset key; `atlas fetch --list` shows all",
        found=repr(name),
        remedy="correct the name",
    )


def _require_setting(setting: Setting, source: Source, named: Iterable[PublishedFile]) -> None:
    there = sorted({file.setting for file in named if file.setting})
    if setting in there:
        return
    raise SettingsError(
        "the source has no such file at this setting",
        where=str(source),
        expected="; ".join(map(str, there)) or "no setting: there is no file per setting",
        found=str(setting),
        remedy="correct --setting",
    )


def require_files(source: Source, chosen: Sequence[PublishedFile]) -> None:
    """Refuses to fetch nothing.

    Raises:
        MissingArtifactError: the source has no file of an atlas.
    """
    if chosen:
        return
    among = " among those that were downloaded before" if source.is_copy else ""
    raise MissingArtifactError(
        "there is nothing to fetch",
        where=str(source),
        expected="files of an atlas, by their published names",
        found=f"none{among}",
        remedy="correct --source (ATLAS_HUB_SOURCE) or --revision"
        + ("; or fetch while the Hub answers" if source.is_copy else ""),
    )


def fetch(
    client: HubClient,
    source: Source,
    store: AtlasStore,
    chosen: Sequence[PublishedFile],
    *,
    overwrite: bool = False,
) -> Iterator[Outcome]:
    """Puts files of a source in their places, one after the other.

    A file is downloaded, compared with the Hub's digest, decoded and held against its schema before
    it takes its place in one step; one that is there already is left alone. One that fails leaves
    the others, and what was in its place, as they are.

    Args:
        client: the Hub.
        source: where the files are.
        store: the atlas they are for; its settings must not contradict what the files say.
        chosen: of the source's files.
        overwrite: whether a file may take the place of another content that was not fetched.

    Yields:
        One outcome per file, as soon as it is known.

    Raises:
        ProvenanceError: two atlases would mix: the manifest speaks of another one than the settings
            in force, or than the files in a folder that they do not speak of; or files of the
            paper's release would come to lie among files that a model was run for.
    """
    folder = destination(source, store, chosen, overwrite=overwrite)
    refused = 0
    for file in chosen:
        path = store.path(file.artifact.key, file.setting)
        if refused >= _PATIENCE:
            yield Outcome(file, path, "failed", error=_not_tried(source, file))
            continue
        try:
            yield _one(client, folder, store, file, overwrite=overwrite)
            refused = 0
        except AtlasError as error:
            refused = refused + 1 if isinstance(error, HubUnavailableError) else 0
            yield Outcome(file, path, "failed", error=error)


def _one(
    client: HubClient,
    folder: Destination,
    store: AtlasStore,
    file: PublishedFile,
    *,
    overwrite: bool,
) -> Outcome:
    source = folder.source
    _require_one_meaning(source, file)
    path = store.path(file.artifact.key, file.setting)
    targets = [path.parent / part.name for part in file.files]
    if all(map(_holds, targets, file.files)):
        return Outcome(file, path, "unchanged", record=_record(source, file, path))
    for target in targets:
        _require_replaceable(target, source, overwrite=overwrite)
    _log.info("fetching %s from %s", file.files[0].path, source)
    local = [
        repository.download(client, source.repo_id, "dataset", source.sha, part)
        for part in file.files
    ]
    if not source.is_copy:
        downloads.note_meaning(client, source.repo_id, source.revision, source.sha)
    value, stored = _validated(folder, file, local[0])
    # of several files, the one of the published name is the last to take its place
    for target, copy in list(zip(targets, local, strict=True))[::-1]:
        _put(file, target, copy.read_bytes(), stored)
    record = _record(source, file, path)
    described = codec_of(file.artifact).describe(value)
    return Outcome(file, path, "fetched", record, stored, described)


def _holds(target: UPath, part: repository.RemoteFile) -> bool:
    return target.exists() and part.is_content_of(target)


def _record(source: Source, file: PublishedFile, path: UPath) -> SourceRecord:
    """The record of the file that lies at ``path``; written, if it says anything new."""
    part = file.files[0]
    record = SourceRecord(
        repository=source.repo_id,
        revision=source.sha,
        path=part.path,
        sha256=part.sha256 or repository.sha256(path),
        size=part.size,
    )
    if source_record.noted(path) != record:
        source_record.write(path, record)
    return record


def _put(file: PublishedFile, target: UPath, data: bytes, stored: Provenance | None) -> None:
    if isinstance(codec_of(file.artifact), SidecarCodec):
        sidecar.put(target, data, stored, what=file.artifact.key)
    else:
        atomic.write_bytes(target, data, what=file.artifact.key)


def _validated(
    folder: Destination, file: PublishedFile, path: Path
) -> tuple[Any, Provenance | None]:
    """The value in a downloaded file, and what it, or the repository's manifest, says of it."""
    artifact, setting = file.artifact, file.setting or file.artifact.setting
    told = file.record.provenance if file.record else None
    try:
        value, stored = codec_of(artifact).read(path, setting=file.setting)
        if stored is None and told is not None and file.record is not None:
            stored = _told(file, told, value, path)
        # what it is about, beyond that, is for the folder to judge
        provenance.require(
            stored, Lineage(), artifact=artifact.key, path=file.name, setting=setting
        )
    except ArtifactError as error:
        raise ArtifactError(
            f"the published file is not a sound {artifact.key}: {error.what}",
            where=f"{folder.source}: {file.files[0].path}",
            expected=error.expected,
            found=error.found,
            remedy="nothing was changed; choose another --revision, or tell the publisher",
        ) from error
    if stored is not None and stored.lineage is not None:
        folder.require([file], stored.lineage)
    return value, stored


def _told(file: PublishedFile, told: Provenance, value: Any, path: Path) -> Provenance | None:
    """What the manifest says of a file that has no room for it, if it speaks of this content."""
    assert file.record is not None
    if file.record.sha256 != repository.sha256(path):
        return None
    found = codec_of(file.artifact).payload_digest(value)
    if found != told.payload_sha256:
        raise ArtifactError(
            "its content is not the one that the repository's manifest speaks of",
            where=file.name,
            expected=f"content of SHA-256 {told.payload_sha256}",
            found=found,
        )
    return told


def _require_one_meaning(source: Source, file: PublishedFile) -> None:
    if file.clash:
        raise ArtifactError(
            "the source has several files of this name, with different contents",
            where=str(source),
            expected=f"one {file.name}",
            found=" and ".join((file.files[0].path, *file.clash)),
            remedy="ask the publisher which one counts, or choose another --revision",
        )


def _require_replaceable(target: UPath, source: Source, *, overwrite: bool) -> None:
    """What was fetched and not changed since may be replaced by a newer state of it."""
    if overwrite or not target.exists() or source_record.read(target) is not None:
        return
    raise ArtifactError(
        "a file of another content is in its place",
        where=str(target),
        expected=f"no file, or one that was fetched; the published one is of {source}",
        found="a file that was made or put here otherwise",
        remedy="--overwrite replaces it (in the job: overwrite: true); or keep both: --into, or "
        "another ATLAS_NAME",
    )


def _not_tried(source: Source, file: PublishedFile) -> HubError:
    return HubUnavailableError(
        "not tried: the Hub has stopped answering",
        where=f"{source}: {file.files[0].path}",
        expected="an answer of the Hub",
        found=f"none for {_PATIENCE} files in a row",
        remedy="run it again later: what has been fetched stays",
    )
