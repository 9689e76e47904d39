"""A dataset repository as a source of an atlas's files: which of them it has, at one commit."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from atlas_assets.errors import ArtifactError, HubError, HubNotFoundError, HubPermanentError
from atlas_assets.hub import manifest
from atlas_assets.hub.manifest import FileRecord, Manifest
from atlas_assets.hub_client import downloads, repository
from atlas_assets.hub_client.client import HubClient
from atlas_assets.hub_client.repository import RemoteFile, is_place_inside
from atlas_assets.stages.artifact import Artifact
from atlas_assets.stages.catalog import ARTIFACTS, artifact_of_file
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.codecs import codec_of

#: one repository of the paper, by the name on the dataset card and by the one in the release
SAME_REPOSITORY = ("piotrwilam/CSP-Atlas", "piotrwilam/AtlasCSP")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublishedFile:
    """An artifact as a repository holds it.

    Attributes:
        artifact: the catalogue's entry.
        setting: of a file per setting, which one.
        files: all files that hold it (of a figure, two), the one of the published name first.
        record: what the repository's manifest says of that one, where it has a manifest.
        clash: other paths of the same name and another content: it is not clear which is meant.
    """

    artifact: Artifact
    setting: Setting | None
    files: tuple[RemoteFile, ...]
    record: FileRecord | None = None
    clash: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The published file name."""
        return self.files[0].name

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Source:
    """A dataset repository at one commit.

    Attributes:
        repo_id: ``owner/name``, as it was found.
        sha: full sha of the commit that everything is read at.
        published: what it has of an atlas, in the order of the pipeline, settings ascending.
        notes: what a user should know: another name, a copy that may be stale.
        revision: what it was asked for by; ``None``: nothing, so the main branch.
        is_copy: whether it is what was downloaded before, the Hub not being asked.
    """

    repo_id: str
    sha: str
    published: tuple[PublishedFile, ...]
    notes: tuple[str, ...] = ()
    revision: str | None = None
    is_copy: bool = False

    def __str__(self) -> str:
        return f"{self.repo_id}@{self.sha[:12]}"


def open_source(client: HubClient, repo_id: str, revision: str | None = None) -> Source:
    """Resolves a revision to its commit, once, and lists what lies there.

    The paper's repository is known by two names: where one is not there, the other is tried. Where
    the Hub does not answer or must not be asked, what was downloaded of the commit that the
    revision meant at the last download is used, and of no other branch.

    Args:
        client: the Hub.
        repo_id: ``owner/name`` of a dataset repository.
        revision: branch, tag or sha; ``None``: the main branch.

    Raises:
        HubPermanentError: there is no such repository or revision, or no access; or offline mode
            is on and nothing was downloaded before.
        HubUnavailableError: the Hub does not answer, and nothing was downloaded before.
    """
    notes: list[str] = []
    is_copy = False
    try:
        repo_id, sha = _resolved(client, repo_id, revision, notes)
        files = repository.entries(client, repo_id, "dataset", sha)
    except HubError as error:
        copy = None if _is_refusal(client, error) else _downloaded(client, repo_id, revision)
        if copy is None:
            raise
        (repo_id, sha), is_copy = copy, True
        files = downloads.files(client, repo_id, sha)
        why = "was not asked: offline mode, HF_HUB_OFFLINE"
        if not client.is_offline():
            why = f"did not answer: {error.found}"
        notes.append(
            f"the Hub {why}; these are the files of {repo_id} at {sha}, as downloaded before: they "
            "may be stale, and others may exist"
        )
        _log.warning(notes[-1])
    told = _manifest(client, repo_id, sha, files)
    published = tuple(_published(files, told))
    return Source(repo_id, sha, published, tuple(notes), revision, is_copy)


def _resolved(
    client: HubClient, repo_id: str, revision: str | None, notes: list[str]
) -> tuple[str, str]:
    try:
        return repo_id, repository.head(client, repo_id, "dataset", revision)
    except HubNotFoundError:
        if repo_id not in SAME_REPOSITORY:
            raise
        (other,) = (name for name in SAME_REPOSITORY if name != repo_id)
        try:
            sha = repository.head(client, other, "dataset", revision)
        except HubNotFoundError:
            sha = None
        if sha is None:
            raise
    notes.append(f"there is no {repo_id}: these are the files of {other}, its other name")
    _log.warning(notes[-1])
    return other, sha


def _is_refusal(client: HubClient, error: HubError) -> bool:
    """Whether the Hub did answer, and said no."""
    return isinstance(error, HubPermanentError) and not client.is_offline()


def _manifest(
    client: HubClient, repo_id: str, sha: str, files: Mapping[str, RemoteFile]
) -> Manifest | None:
    """What the repository says of its files; ``None`` for one that this package did not publish."""
    file = files.get(manifest.NAME)
    if file is None:
        return None
    path = repository.download(client, repo_id, "dataset", sha, file)
    try:
        return Manifest.from_bytes(path.read_bytes(), where=f"{repo_id}: {file.path}")
    except ArtifactError as error:
        _log.warning("%s: provenance is taken from the files alone: %s", repo_id, error.what)
        return None


def _published(files: Mapping[str, RemoteFile], told: Manifest | None) -> Iterator[PublishedFile]:
    by_name: dict[str, list[RemoteFile]] = {}
    for file in files.values():
        record = told.file(file.path) if told else None
        if record is None or record.made_from is None:
            by_name.setdefault(file.name, []).append(file)
    order = {key: number for number, key in enumerate(ARTIFACTS)}
    recognised = [(artifact_of_file(name), name) for name in by_name]
    cells = [(*found, name) for found, name in recognised if found is not None]
    for artifact, setting, name in sorted(
        cells, key=lambda cell: (order[cell[0].key], cell[1] or Setting(0.0, 1.0))
    ):
        candidates = sorted(by_name[name], key=_clearest_first)
        first = candidates[0]
        clash = tuple(file.path for file in candidates[1:] if file.blob_id != first.blob_id)
        beside = _beside(artifact, first, files)
        record = told.file(first.path) if told else None
        yield PublishedFile(artifact, setting, (first, *beside), record, clash)


def _clearest_first(file: RemoteFile) -> tuple[bool, int, str]:
    return not is_place_inside(file.path), file.path.count("/"), file.path


def _beside(
    artifact: Artifact, first: RemoteFile, files: Mapping[str, RemoteFile]
) -> Iterator[RemoteFile]:
    """The other files of an artifact that is kept in several; those that are not there are not."""
    folder = first.path[: len(first.path) - len(first.name)]
    for path in codec_of(artifact).files(Path(first.name))[1:]:
        if folder + path.name in files:
            yield files[folder + path.name]


def _downloaded(client: HubClient, repo_id: str, revision: str | None) -> tuple[str, str] | None:
    """Name and sha of the commit that the revision meant at the last download; ``None``: never."""
    names = SAME_REPOSITORY if repo_id in SAME_REPOSITORY else (repo_id,)
    for name in sorted(names, key=lambda name: name != repo_id):
        sha = downloads.meant(client, name, revision)
        if sha is not None:
            return name, sha
    return None
