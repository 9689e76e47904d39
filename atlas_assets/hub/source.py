"""A dataset repository as a source of atlas files: which ones it holds at one commit."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from atlas_assets.errors import ArtifactError, HubError, HubNotFoundError, HubPermanentError
from atlas_assets.hub import manifest
from atlas_assets.hub.manifest import FileRecord, Manifest
from atlas_assets.hub_client.client import HubClient
from atlas_assets.hub_client.repository import Commit, RemoteFile, Repository, is_place_inside
from atlas_assets.stages.artifact import Artifact
from atlas_assets.stages.catalog import ARTIFACTS, artifact_of_file
from atlas_assets.stages.setting import Partition, Setting
from atlas_assets.storage.codecs import codec_of
from atlas_assets.storage.source_record import PAPER_REPOSITORIES

#: the main branch of every repository of the Hub
MAIN = "main"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublishedFile:
    """An artifact as a repository holds it.

    Attributes:
        files: the files that hold it (two for a figure), the one of the published name first.
        record: the record of that file in the manifest of the repository, if there is one.
        clash: paths with the same file name but other content, which make the name ambiguous.
    """

    artifact: Artifact
    setting: Partition | None
    files: tuple[RemoteFile, ...]
    record: FileRecord | None = None
    clash: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The published file name."""
        return self.files[0].name

    @property
    def size(self) -> int:
        """The length of all its files together, in bytes."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Source:
    """A dataset repository at one commit.

    Attributes:
        repo_id: ``owner/name``, the one of its names under which it was found.
        sha: the full sha of the commit that everything is read at.
        published: its files of an atlas, in the order of the pipeline, settings ascending.
        notes: what a user should know: another name, a copy that may be stale.
        revision: the revision that was asked for; ``None`` is the main branch.
        is_copy: whether these are earlier downloads, as the Hub was not asked or did not answer.
    """

    repo_id: str
    sha: str
    published: tuple[PublishedFile, ...]
    notes: tuple[str, ...] = ()
    revision: str | None = None
    is_copy: bool = False

    def __str__(self) -> str:
        return f"{self.repo_id}@{self.sha[:12]}"


def names_of(repo_id: str) -> tuple[str, ...]:
    """Return the names of a repository, the given one first; only the paper's has two."""
    others = PAPER_REPOSITORIES if repo_id in PAPER_REPOSITORIES else ()
    return (repo_id, *(name for name in others if name != repo_id))


def is_on_main_branch(client: HubClient, source: Source) -> bool | None:
    """Return whether a source's commit is one of its main branch; ``None``: it is not known.

    It is asked for the paper's repository alone, where that decides what files are called, and only
    if another revision than the main branch was named.
    """
    if source.repo_id not in PAPER_REPOSITORIES:
        return None
    repository = Repository(client, source.repo_id)
    if source.revision in (None, MAIN):
        return True
    if (noted := repository.snapshot(MAIN)) is not None and noted.name == source.sha:
        return True
    if source.is_copy:
        return None
    try:
        return repository.is_on_main_branch(source.sha)
    except HubError as error:
        _log.warning("files of %s are of unknown origin: %s", source, error.what)
        return None


def open_source(client: HubClient, repo_id: str, revision: str | None = None) -> Source:
    """Resolve a revision to its commit, once, and list the files of that commit.

    The paper's repository has two names: if one is not found, the other is tried. If the Hub does
    not answer, or offline mode is on, the files are used that were downloaded before at the commit
    that this revision meant then, and none of another branch. A revision is a branch, tag or sha;
    ``None`` is the main branch.

    Raises:
        HubPermanentError: there is no such repository or revision, or no access; or offline mode
            is on and nothing was downloaded before.
        HubUnavailableError: the Hub does not answer, and nothing was downloaded before.
    """
    candidates = [Repository(client, name) for name in names_of(repo_id)]
    note, is_copy, offline = "", False, client.is_offline()
    try:
        repository, commit = _looked_up(candidates, revision)
        if repository.id != repo_id:
            note = f"there is no {repo_id}: these are the files of {repository.id}, its other name"
    except HubError as error:
        if isinstance(error, HubPermanentError) and not offline:
            raise
        copies = [(it, copy) for it in candidates if (copy := it.downloaded(revision))]
        if not copies:
            raise
        (repository, commit), is_copy = copies[0], True
        asked = "was not asked: offline mode, HF_HUB_OFFLINE"
        why = asked if offline else f"did not answer: {error.found}"
        note = (
            f"the Hub {why}; these are the files of {repository.id} at {commit.sha}, as downloaded "
            "before: they may be stale, and others may exist"
        )
    if note:
        _log.warning(note)
    published = tuple(_published(commit.files, _manifest(repository, commit)))
    return Source(repository.id, commit.sha, published, (note,) if note else (), revision, is_copy)


def _looked_up(candidates: Sequence[Repository], revision: str | None) -> tuple[Repository, Commit]:
    first, *others = candidates
    try:
        return first, first.look_up(revision)
    except HubNotFoundError:
        for other in others:
            with contextlib.suppress(HubNotFoundError):
                return other, other.look_up(revision)
        raise


def _manifest(repository: Repository, commit: Commit) -> Manifest | None:
    """Return the manifest of a repository; ``None`` if there is none, or it is damaged."""
    if manifest.NAME not in commit.files:
        return None
    path = repository.download(commit.sha, commit.files[manifest.NAME])
    try:
        return Manifest.from_bytes(path.read_bytes(), where=f"{repository.id}: {manifest.NAME}")
    except ArtifactError as error:
        said = "%s: provenance is taken from the files alone: %s"
        _log.warning(said, repository.id, error.what)
        return None


def _published(files: Mapping[str, RemoteFile], told: Manifest | None) -> Iterator[PublishedFile]:
    records = {record.path: record for record in told.files} if told else {}
    by_name: dict[str, list[RemoteFile]] = {}
    for path, file in files.items():
        if path not in records or records[path].made_from is None:
            by_name.setdefault(file.name, []).append(file)
    order = {key: number for number, key in enumerate(ARTIFACTS)}
    recognised = [(artifact_of_file(name), name) for name in by_name]
    cells = [(*found, name) for found, name in recognised if found is not None]
    for artifact, setting, name in sorted(
        cells, key=lambda cell: (order[cell[0].key], _order(cell[1]))
    ):
        first, *others = sorted(by_name[name], key=_clearest_first)
        clash = tuple(file.path for file in others if file.blob_id != first.blob_id)
        # an artifact may be kept in several files; those that are missing are left out
        folder = first.path.removesuffix(first.name)
        beside = [folder + path.name for path in codec_of(artifact).files(Path(first.name))[1:]]
        held = (first, *(files[path] for path in beside if path in files))
        yield PublishedFile(artifact, setting, held, records.get(first.path), clash)


def _order(partition: Partition | None) -> tuple[float | str, ...]:
    """Return what sorts the partitions of one artifact: ε, then C; the names of definitions."""
    if isinstance(partition, Setting):
        return partition.epsilon, partition.consistency
    return (str(partition),)


def _clearest_first(file: RemoteFile) -> tuple[bool, int, str]:
    return not is_place_inside(file.path), file.path.count("/"), file.path
