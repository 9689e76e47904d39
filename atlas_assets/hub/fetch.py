"""Fetches published files into the folder of an atlas: verified, validated, all or nothing."""

from __future__ import annotations

import difflib
import hashlib
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from upath import UPath

from atlas_assets import errors
from atlas_assets.errors import ArtifactError, expect
from atlas_assets.files import atomic
from atlas_assets.files.locations import file_digest, is_there
from atlas_assets.hub.one_atlas import Destination, destination
from atlas_assets.hub.source import (
    MAIN,
    PublishedFile,
    Source,
    is_on_main_branch,
    names_of,
    open_source,
)
from atlas_assets.hub_client.client import HubClient
from atlas_assets.hub_client.repository import RemoteFile, Repository, is_full_sha
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.setting import Setting
from atlas_assets.storage import provenance, sidecar, source_record
from atlas_assets.storage.codec import SidecarCodec
from atlas_assets.storage.codecs import codec_of
from atlas_assets.storage.folder import file_names
from atlas_assets.storage.provenance import Lineage, Provenance
from atlas_assets.storage.source_record import SourceRecord
from atlas_assets.storage.store import AtlasStore

#: files in a row that the Hub does not give before the rest is not asked for
_PATIENCE = 2

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """The outcome of fetching one file.

    Attributes:
        state: ``fetched``; ``unchanged``: the file was there already; ``failed``: the place of
            the file was left as it was.
        record: the source of the content; ``None`` after a failure.
        provenance: the record in the file of how it was made; ``None`` for a file without one,
            and where the file is unchanged or failed.
        described: counts and sizes of the content; empty unless it was fetched.
    """

    file: PublishedFile
    path: UPath
    state: Literal["fetched", "unchanged", "failed"]
    record: SourceRecord | None = None
    provenance: Provenance | None = None
    described: Mapping[str, Any] = field(default_factory=dict)
    error: errors.AtlasError | None = None


def choose(
    source: Source, names: Sequence[str] = (), settings: Collection[Setting] = ()
) -> tuple[PublishedFile, ...]:
    """Return the files of a source that are chosen by name and setting.

    Args:
        names: file names, paths in the repository, or asset keys; none: all.
        settings: keeps only these of the files that exist per setting; none: all.

    Raises:
        SettingsError: the source has no file of that name, or none at one of these settings.
    """
    known = sorted(set().union(*map(_meanings, source.published)))
    for name in names:
        near = " or ".join(difflib.get_close_matches(name, known, n=3))
        expect(
            name in known,
            errors.SettingsError,
            "the source has no such file",
            where=str(source),
            expected=near or "a file name or an asset key; `atlas fetch --list` shows all",
            found=repr(name),
            remedy="correct the name",
        )
    named = [
        file for file in source.published if not names or not _meanings(file).isdisjoint(names)
    ]
    there = sorted({file.setting for file in named if isinstance(file.setting, Setting)})
    for setting in settings:
        expect(
            setting in there,
            errors.SettingsError,
            "the source has no such file at this setting",
            where=str(source),
            expected="; ".join(map(str, there)) or "no setting: there is no file per setting",
            found=str(setting),
            remedy="correct --setting",
        )
    return tuple(
        file
        for file in named
        if not settings or not isinstance(file.setting, Setting) or file.setting in settings
    )


def _meanings(file: PublishedFile) -> set[str]:
    """Return the names by which a file can be chosen."""
    return {file.name, file.artifact.key, *(part.path for part in file.files), *file.clash}


def fetch_missing(
    settings: AtlasSettings,
    store: AtlasStore,
    key: str,
    setting: Setting | None = None,
    client: HubClient | None = None,
) -> None:
    """Fetch an artifact from the source in force, if there is one, and the file is not here.

    The commit is the one that the atlas's other files were fetched at, so that they belong
    together; ``atlas fetch`` moves all of them to a newer one. The client is by default one that
    gives up within seconds.

    Raises:
        HubError: the Hub refuses, or does not answer, and nothing was downloaded before.
        ArtifactError: the published file is not sound, or is of another atlas.
    """
    if settings.hub_source is None or store.exists(key, setting):
        return
    client = client or HubClient().interactive()
    revision = settings.hub_source_revision
    if not is_full_sha(revision):
        revision = _fetched_at(store.root, settings.hub_source) or revision
    source = open_source(client, settings.hub_source, revision)
    wanted = [f for f in source.published if (f.artifact.key, f.setting) == (key, setting)]
    if not wanted:
        _log.warning("%s has no %s", source, store.path(key, setting).name)
        return
    for outcome in fetch(client, source, store, wanted):
        if outcome.error is not None:
            raise outcome.error


def _fetched_at(root: UPath, repo_id: str) -> str | None:
    """Return the commit that the files here were fetched at, if it is the same for all."""
    records = [source_record.noted(root / name) for name in file_names(root)]
    shas = {r.revision for r in records if r and r.repository in names_of(repo_id)}
    return shas.pop() if len(shas) == 1 else None


def fetch(
    client: HubClient,
    source: Source,
    store: AtlasStore,
    chosen: Sequence[PublishedFile],
    *,
    overwrite: bool = False,
) -> Iterator[Outcome]:
    """Fetch files of a source into a folder, and yield the outcome of each as soon as it is known.

    A file is downloaded, compared with the Hub's digest, decoded and checked against its schema
    before it is put in place in one step; a file that is there already is left alone. A failure
    changes neither the other files nor the one that was in its place.

    Args:
        store: the atlas they are for; its settings must not contradict what the files say.
        overwrite: whether a file may take the place of another content that was not fetched.

    Raises:
        MissingArtifactError: no file is chosen.
        ProvenanceError: two atlases would mix (`one_atlas.destination`).
    """
    found, instead = "none", ""
    if source.is_copy:
        found = "none among those that were downloaded before"
        instead = "; or fetch while the Hub answers"
    expect(
        bool(chosen),
        errors.MissingArtifactError,
        "there is nothing to fetch",
        where=str(source),
        expected="files of an atlas, by their published names",
        found=found,
        remedy=f"correct --source (ATLAS_HUB_SOURCE) or --revision{instead}",
    )
    folder = destination(source, store, chosen, overwrite=overwrite)
    on_main = is_on_main_branch(client, source)
    refused = 0
    for file in chosen:
        path = store.path(file.artifact.key, file.setting)
        try:
            expect(
                refused < _PATIENCE,
                errors.HubUnavailableError,
                "not tried: the Hub has stopped answering",
                where=f"{source}: {file.files[0].path}",
                expected="an answer of the Hub",
                found=f"none for {_PATIENCE} files in a row",
                remedy="run it again later: what has been fetched stays",
            )
            yield _one(client, folder, file, path, on_main, overwrite=overwrite)
            refused = 0
        except errors.AtlasError as error:
            refused = refused + 1 if isinstance(error, errors.HubUnavailableError) else 0
            yield Outcome(file, path, "failed", error=error)


def _one(
    client: HubClient,
    folder: Destination,
    file: PublishedFile,
    path: UPath,
    on_main: bool | None,
    *,
    overwrite: bool,
) -> Outcome:
    source = folder.source
    expect(
        not file.clash,
        ArtifactError,
        "the source has several files of this name, with different contents",
        where=str(source),
        expected=f"one {file.name}",
        found=" and ".join((file.files[0].path, *file.clash)),
        remedy="ask the publisher which one counts, or choose another --revision",
    )
    targets = {path.parent / part.name: part for part in file.files}
    there = [is_there(target) and part.digest_in(target) for target, part in targets.items()]
    if all(there):
        records = _note(source, targets, map(str, there), on_main)
        return Outcome(file, path, "unchanged", record=records[0])
    if not overwrite:
        _require_replaceable(source, targets)
    _log.info("fetching %s from %s", file.files[0].path, source)
    repository = Repository(client, source.repo_id)
    meant_by = None if source.is_copy else source.revision or MAIN
    copies = [repository.download(source.sha, part, meant_by) for part in file.files]
    value, stored = _validated(folder, file, copies[0])
    codec, what = codec_of(file.artifact), file.artifact.key
    contents = {target: copy.read_bytes() for target, copy in zip(targets, copies, strict=True)}
    (target, data), *others = contents.items()
    beside: dict[UPath | Path, bytes] = dict(others)

    def last_look() -> None:
        """What is in the folder may have changed during the download."""
        folder.require_still(file, stored)
        if not overwrite:
            _require_replaceable(source, targets)

    if isinstance(codec, SidecarCodec):
        sidecar.put(target, data, stored, what=what, beside=beside, last_look=last_look)
    else:
        atomic.write_bytes(target, data, what=what, last_look=last_look)
    digests = (hashlib.sha256(data).hexdigest() for data in contents.values())
    records = _note(source, targets, digests, on_main)
    return Outcome(file, path, "fetched", records[0], stored, codec.describe(value))


def _require_replaceable(source: Source, targets: Mapping[UPath, RemoteFile]) -> None:
    """Refuse to replace files that were not fetched, or that were changed since."""
    for target, part in targets.items():
        expect(
            not is_there(target)
            or part.is_content_of(target)
            or source_record.read(target) is not None,
            ArtifactError,
            "a file of another content is in its place",
            where=str(target),
            expected=f"no file, or one that was fetched; the published one is of {source}",
            found="a file that was made or put here otherwise",
            remedy="--overwrite replaces it (in the job: overwrite: true); or keep both: --into, "
            "or another ATLAS_NAME",
        )


def _note(
    source: Source,
    targets: Mapping[UPath, RemoteFile],
    digests: Iterable[str],
    on_main: bool | None,
) -> list[SourceRecord]:
    """Note the source of the bytes of these digests, whatever lies in their places by now."""
    records = []
    for (target, part), digest in zip(targets.items(), digests, strict=True):
        record = SourceRecord(
            repository=source.repo_id,
            revision=source.sha,
            path=part.path,
            sha256=digest,
            size=part.size,
            on_main_branch=on_main,
        )
        records.append(record)
        if source_record.noted(target) != record:
            source_record.write(target, record)
    return records


def _validated(
    folder: Destination, file: PublishedFile, path: Path
) -> tuple[Any, Provenance | None]:
    """Return the value in a downloaded file, and its provenance from the file or the manifest."""
    artifact = file.artifact
    try:
        # the Hub's cache holds links to its own files
        value, stored = codec_of(artifact).read(path, setting=file.setting, quotes_links=True)
        stored = stored or _told(file, value, path)
        # whether its atlas may be in this folder is judged below
        partition = file.setting or artifact.setting
        provenance.require(
            stored, Lineage(), artifact=artifact.key, path=file.name, partition=partition
        )
    except ArtifactError as error:
        raise type(error)(
            f"the published file is not a sound {artifact.key}: {error.what}",
            where=f"{folder.source}: {file.files[0].path}",
            expected=error.expected,
            found=error.found,
            remedy="nothing was changed; choose another --revision, or tell the publisher",
        ) from error
    if stored and stored.lineage:
        folder.require([file], stored.lineage)
    return value, stored


def _told(file: PublishedFile, value: Any, path: Path) -> Provenance | None:
    """Return the provenance that the manifest has for exactly this file, which carries none."""
    told = file.record.provenance if file.record else None
    if file.record is None or told is None or file.record.sha256 != file_digest(path):
        return None
    found = codec_of(file.artifact).payload_digest(value)
    expect(
        found == told.payload_sha256,
        ArtifactError,
        "its content is not the one that the repository's manifest speaks of",
        where=file.name,
        expected=f"content of SHA-256 {told.payload_sha256}",
        found=found,
    )
    return told
