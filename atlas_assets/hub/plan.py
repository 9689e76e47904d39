"""Plans one commit: compares the staged files with the head of the repository.

Functions that ask the Hub raise `HubPermanentError` without access, and `HubUnavailableError` where
it does not answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from atlas_assets.errors import ArtifactError, HubNotFoundError, HubPermanentError, ProvenanceError
from atlas_assets.hub import card
from atlas_assets.hub import manifest as manifests
from atlas_assets.hub.manifest import FileRecord, Manifest, listed, merged
from atlas_assets.hub.staging import Stage
from atlas_assets.hub_client.client import HubClient
from atlas_assets.hub_client.repository import Commit, RemoteFile, Repository, digests_of
from atlas_assets.soundness.subject import Cell
from atlas_assets.stages.catalog import artifact_of_file

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

Kind = Literal["add", "change", "remove"]
_IN_WORDS: dict[Kind, str] = {"add": "added", "change": "changed", "remove": "removed"}
_NOT_FOUND = 404


@dataclass(frozen=True)
class Options:
    """How an atlas is published.

    Attributes:
        cells: Only these files are published, the others are left in the repository as they are;
            ``None``: everything that is sound.
        replace: Whether what an earlier publication left there and this one has not is removed.
        overwrite: Whether to publish although files of an atlas are there that no publication
            left: those at the paths of this one are replaced, the others stay.
        dry_run: Whether only to say what would be done: the repository is read, nothing is
            written, and no token is needed.
    """

    cells: Collection[Cell] | None = None
    replace: bool = False
    overwrite: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Change:
    """A file that the commit touches; its size in bytes afterwards, or before it is removed."""

    kind: Kind
    path: str
    size: int


class Content(NamedTuple):
    """What a path is to hold: bytes or a staged file, with size and digests."""

    path: str
    data: bytes | Path
    size: int
    sha256: str
    blob_id: str


@dataclass(frozen=True)
class _Head:
    """The head of the repository that is published to.

    Attributes:
        sha: The commit; ``None``: there is no repository.
        card: README.md byte for byte (other bytes than UTF-8 as surrogates).
        manifest: The manifest of the last publication; ``None`` before the first.
    """

    sha: str | None = None
    files: Mapping[str, RemoteFile] = field(default_factory=dict)
    card: str = ""
    manifest: Manifest | None = None

    def holds(self, content: Content | FileRecord) -> bool:
        """Return whether a path holds the given content."""
        there = self.files.get(content.path)
        return there is not None and there.has(content.sha256, content.blob_id)


@dataclass(frozen=True)
class Plan:
    """One commit.

    Attributes:
        parent: The sha of the head; ``None`` where there is no repository yet.
        manifest: What the repository will hold.
        changes: The files that are touched, sorted by path; none where nothing differs.
        unchanged: How many files are there already as they are.
        kept: The paths of an earlier publication that this one leaves as they are.
        card_lines: How many lines of the card appear and disappear.
        contents: path → what is, or would be, uploaded there.
    """

    repo_id: str
    parent: str | None
    manifest: Manifest
    changes: tuple[Change, ...]
    unchanged: int
    kept: tuple[str, ...]
    card_lines: tuple[int, int]
    contents: Mapping[str, Content] = field(repr=False)

    @cached_property
    def version(self) -> str:
        """The name of the version, and of its tag."""
        return self.manifest.version

    @property
    def description(self) -> str:
        """The text of the commit: what changes, in numbers."""
        counted = Counter(change.kind for change in self.changes)
        return ", ".join(f"{counted[k]} {word}" for k, word in _IN_WORDS.items() if counted[k])

    def operations(self) -> list[CommitOperationAdd | CommitOperationDelete]:
        """Return new operations for the commit; the Hub's client uses them up.

        Raises:
            ArtifactError: a staged file was changed after it was staged.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations: list[CommitOperationAdd | CommitOperationDelete] = []
        for change in self.changes:
            if change.kind == "remove":
                operations.append(CommitOperationDelete(change.path, is_folder=False))
                continue
            content = self.contents[change.path]
            operation = CommitOperationAdd(change.path, content.data)
            found = operation.upload_info.sha256.hex()
            if found != content.sha256:
                raise ArtifactError(
                    "a file changed while it was being published; nothing was committed",
                    where=change.path,
                    expected=f"content of SHA-256 {content.sha256}",
                    found=found,
                    remedy="publish again; leave the copies in the temporary folder alone",
                )
            operations.append(operation)
        return operations


def _read_head(client: HubClient, repo_id: str, staged: Manifest) -> _Head:
    commit = _look_up(client, repo_id)
    if commit is None:
        return _Head()
    text, earlier = b"", None
    if card.NAME in commit.files:
        text = _read(client, repo_id, commit, card.NAME)
    if manifests.NAME in commit.files:
        earlier = staged
        if not commit.files[manifests.NAME].has(*digests_of(staged.to_bytes())):
            where = f"{repo_id}@{commit.sha[:12]}: {manifests.NAME}"
            content = _read(client, repo_id, commit, manifests.NAME)
            earlier = Manifest.from_bytes(content, where=where)
    return _Head(commit.sha, commit.files, text.decode("utf-8", "surrogateescape"), earlier)


def is_tagged(client: HubClient, repo_id: str, manifest: Manifest) -> bool:
    """Return whether the tag of a version is there. One request.

    Raises:
        HubPermanentError: it marks something else.
    """
    commit = _look_up(client, repo_id, manifest.version)
    if commit is None:
        return False
    found, digests = commit.files.get(manifests.NAME), digests_of(manifest.to_bytes())
    if found and found.has(*digests):
        return True
    raise HubPermanentError(
        f"the tag of this version marks {'another one' if found else 'a commit of something else'}",
        where=f"{repo_id}@{manifest.version}",
        expected=f"a commit with {manifests.NAME} of SHA-256 {digests[0]}",
        found=f"{found.sha256 or found.blob_id}" if found else f"no {manifests.NAME}",
        remedy="delete the tag on the Hub, or rename it, and publish again; it is never moved",
    )


def _look_up(client: HubClient, repo_id: str, tag: str | None = None) -> Commit | None:
    """Return the commit of the main branch, or of a tag; ``None`` if it does not exist."""
    try:
        return Repository(client, repo_id).look_up(tag)
    except HubPermanentError as error:
        if isinstance(error, HubNotFoundError) or error.status == _NOT_FOUND:
            return None
        raise


def _read(client: HubClient, repo_id: str, commit: Commit, path: str) -> bytes:
    """Read a small file, in one request and past every cache, checked against its digest."""
    from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status

    def ask() -> bytes:
        url = hf_hub_url(
            repo_id, path, repo_type="dataset", revision=commit.sha, endpoint=client.endpoint
        )
        token = client.user_token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        response = get_session().get(url, headers=headers)
        hf_raise_for_status(response)
        content: bytes = response.content
        if not commit.files[path].has(*digests_of(content)):
            # asked again: a page that some proxy sends in its place must not become the card
            raise ConnectionError("the answer is not the file that the Hub lists")
        return content

    return client.call("cannot read a file", ask, where=f"{repo_id}@{commit.sha[:12]}: {path}")


def plan(client: HubClient, repo_id: str, stage: Stage, options: Options) -> Plan:
    """Read the head of a dataset repository, and return the commit that publishes the stage.

    Nothing that this publication does not name is touched, except, with ``options.replace``, for
    files of an earlier one, which are removed. Two requests, and a third where the manifest at the
    head is another than the one that is staged.

    Raises:
        ProvenanceError: the repository holds files of another atlas that would stay, or files that
            no publication left there.
        ArtifactError: the card cannot be edited safely, or the manifest there is damaged or has
            another format.
    """
    head, manifest = _read_head(client, repo_id, stage.manifest), stage.manifest
    if not options.replace:
        manifest = merged(manifest, head.manifest, head.holds)
    if not options.overwrite:
        _require_no_strangers(stage.manifest, manifest, head)
    ours = set(manifest.paths)
    text = card.render(head.card, manifest, repo_id)
    contents = _contents(stage, manifest, text)
    changes = [
        Change("change" if content.path in head.files else "add", content.path, content.size)
        for content in contents
        if not head.holds(content)
    ]
    unchanged = len(contents) - len(changes)
    if head.manifest and options.replace:
        gone = [file for file in head.manifest.files if file.path not in ours and head.holds(file)]
        changes += [Change("remove", file.path, file.size) for file in gone]
    return Plan(
        repo_id=repo_id,
        parent=head.sha,
        manifest=manifest,
        changes=tuple(sorted(changes, key=lambda change: change.path)),
        unchanged=unchanged,
        kept=tuple(sorted(ours.difference(stage.manifest.paths))),
        card_lines=_changed_lines(head.card.splitlines(), text.splitlines()),
        contents={content.path: content for content in contents},
    )


def _contents(stage: Stage, manifest: Manifest, card_text: str) -> list[Content]:
    """Return the contents of the staged files, the manifest and the card."""
    made = {
        manifests.NAME: manifest.to_bytes(),
        card.NAME: card_text.encode("utf-8", "surrogateescape"),
    }
    return [
        Content(file.path, stage.file(file.path), file.size, file.sha256, file.blob_id)
        for file in stage.manifest.files
    ] + [Content(path, data, len(data), *digests_of(data)) for path, data in made.items()]


def _require_no_strangers(staged: Manifest, manifest: Manifest, head: _Head) -> None:
    """Refuse a head with files of an atlas that were not published by this package.

    Such a file would be overwritten where it has the path of one of ours, and otherwise be taken
    for a part of our atlas. A file with the content of ours is accepted.
    """
    known = set(head.manifest.paths) if head.manifest else set()
    strangers = [
        path
        for path, file in sorted(head.files.items())
        if path not in known and _is_stranger(file, staged, manifest)
    ]
    if not strangers:
        return
    raise ProvenanceError(
        "the repository holds files of an atlas that no publication left there",
        where=listed(strangers),
        expected=f"files that {manifests.NAME} at the head lists, or of the same content as ours",
        found=f"{len(strangers)} of another content, which nothing says the origin of",
        remedy="publish to another repository; or move or remove them there; or pass --overwrite "
        "(`overwrite: true` of the job): those that lie where ours are to lie are replaced, the "
        "others stay",
    )


def _is_stranger(file: RemoteFile, staged: Manifest, manifest: Manifest) -> bool:
    mine = staged.file(file.path)
    if mine is None and artifact_of_file(file.name) is None:
        return False
    mine = mine or manifest.file(file.name)
    return mine is None or not file.has(mine.sha256, mine.blob_id)


def _changed_lines(before: list[str], after: list[str]) -> tuple[int, int]:
    """Return how many lines appear and how many disappear."""
    blocks = SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    equal = sum(block.size for block in blocks)
    return len(after) - equal, len(before) - equal
