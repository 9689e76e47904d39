"""What one commit would change: the staged files against the repository's head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from atlas_assets.errors import ArtifactError, ProvenanceError
from atlas_assets.hub import card, viewer
from atlas_assets.hub import manifest as manifests
from atlas_assets.hub.head import Head, digests_of, same
from atlas_assets.hub.manifest import Manifest, merged
from atlas_assets.hub.staging import Stage
from atlas_assets.hub_client.repository import RemoteFile
from atlas_assets.stages.catalog import artifact_of_file

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

Kind = Literal["add", "change", "remove"]
#: how many names a message lists
_LISTED = 6


@dataclass(frozen=True)
class Change:
    """A file that the commit touches.

    Attributes:
        kind: what becomes of it.
        path: inside the repository.
        size: bytes, afterwards; before, for one that is removed.
    """

    kind: Kind
    path: str
    size: int


@dataclass(frozen=True)
class Content:
    """What a path is to hold.

    Attributes:
        data: the bytes, or the staged file.
        size: bytes.
        sha256: of them, hex.
        blob_id: git's id of them.
    """

    data: bytes | Path
    size: int
    sha256: str
    blob_id: str


@dataclass(frozen=True)
class Plan:
    """One commit.

    Attributes:
        repo_id: of the dataset repository.
        parent: sha of the head; ``None`` where there is no repository yet.
        manifest: of what the repository will hold.
        changes: sorted by path; none where nothing differs.
        unchanged: how many files lie there already as they are.
        kept: paths of an earlier publication that this one leaves as they are.
        card_lines: how many lines of the card appear and disappear.
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

    @property
    def version(self) -> str:
        """Name of the version, and of its tag."""
        return self.manifest.version

    @property
    def n_tables(self) -> int:
        """How many configurations the repository will have."""
        return len(viewer.tables(self.manifest))

    def operations(self) -> list[CommitOperationAdd | CommitOperationDelete]:
        """New operations for the commit; the Hub's client uses them up.

        Raises:
            ArtifactError: a staged file is not what it was when it was staged.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations: list[CommitOperationAdd | CommitOperationDelete] = []
        for change in self.changes:
            if change.kind == "remove":
                operations.append(CommitOperationDelete(change.path, is_folder=False))
                continue
            content = self.contents[change.path]
            data = content.data if isinstance(content.data, bytes) else str(content.data)
            operation = CommitOperationAdd(change.path, data)
            found = operation.upload_info.sha256.hex()
            if found != content.sha256:
                raise _changed(change.path, content.sha256, found)
            operations.append(operation)
        return operations

    @property
    def message(self) -> str:
        """Title of the commit."""
        return f"Publish {self.version}"

    @property
    def description(self) -> str:
        """Its text: what changes, in numbers."""
        counted = dict.fromkeys(("add", "change", "remove"), 0)
        for change in self.changes:
            counted[change.kind] += 1
        words = {"add": "added", "change": "changed", "remove": "removed"}
        return ", ".join(f"{n} {words[kind]}" for kind, n in counted.items() if n)


def plan(
    stage: Stage,
    repo_id: str,
    head: Head | None,
    earlier: Manifest | None,
    *,
    replace: bool = False,
    overwrite: bool = False,
) -> Plan:
    """What is to be committed on ``head`` so that it holds what is staged.

    Nothing that this publication does not name is touched, with ``replace`` except for files of an
    earlier one, which are removed.

    Args:
        stage: what is published.
        repo_id: ``owner/name``.
        head: of the repository; ``None`` where there is none.
        earlier: the manifest at the head; ``None`` where nothing was published.
        replace: whether what an earlier publication left there and this one has not is removed.
        overwrite: whether files of an atlas that no publication left there are in order: those at
            the paths of this one are replaced, the others stay.

    Raises:
        ProvenanceError: the repository holds files of another atlas that would stay, or files that
            no publication left there.
        ArtifactError: the card cannot be edited safely.
    """
    files = head.files if head else {}
    holds = head.holds if head else (lambda _: False)
    manifest = stage.manifest if replace else merged(stage.manifest, earlier, holds)
    if not overwrite:
        _require_no_strangers(stage.manifest, manifest, earlier, files)
    ours = set(manifest.paths)
    staged = set(stage.manifest.paths)
    text = card.render(head.card if head else "", manifest, repo_id)
    contents = _contents(stage, manifest, text)
    changes = [
        Change("change" if path in files else "add", path, content.size)
        for path, content in contents.items()
        if not same(files.get(path), content.sha256, content.blob_id)
    ]
    gone = [file for file in earlier.files if file.path not in ours] if earlier and replace else []
    changes += [Change("remove", file.path, file.size) for file in gone if holds(file)]
    return Plan(
        repo_id=repo_id,
        parent=head.sha if head else None,
        manifest=manifest,
        changes=tuple(sorted(changes, key=lambda change: change.path)),
        unchanged=len(contents) - sum(change.kind != "remove" for change in changes),
        kept=tuple(sorted(ours - staged)),
        card_lines=_changed_lines(head.card if head else "", text),
        contents=contents,
    )


def _contents(stage: Stage, manifest: Manifest, card_text: str) -> dict[str, Content]:
    """What the staged files, the manifest and the card are to hold, by path."""
    made = {
        manifests.NAME: manifest.to_bytes(),
        card.NAME: card_text.encode("utf-8", "surrogateescape"),
    }
    staged = {
        file.path: Content(stage.file(file.path), file.size, file.sha256, file.blob_id)
        for file in stage.manifest.files
    }
    return staged | {
        path: Content(data, len(data), *digests_of(data)) for path, data in made.items()
    }


def _require_no_strangers(
    staged: Manifest, manifest: Manifest, earlier: Manifest | None, files: Mapping[str, RemoteFile]
) -> None:
    """Refuses a head with files of an atlas that somebody put there in another way.

    Such a file would be lost if it lies where one of ours is to lie, and beside ours would be taken
    for a part of the same atlas. One with the content of ours is no stranger.
    """
    known = set(earlier.paths) if earlier else set()
    strangers = [
        path
        for path, file in sorted(files.items())
        if path not in known and _is_stranger(file, staged, manifest)
    ]
    if not strangers:
        return
    listed = ", ".join(strangers[:_LISTED]) + (", …" if len(strangers) > _LISTED else "")
    raise ProvenanceError(
        "the repository holds files of an atlas that no publication left there",
        where=listed,
        expected=f"files that {manifests.NAME} at the head lists, or of the same content as ours",
        found=f"{len(strangers)} of another content, which nothing says the origin of",
        remedy="publish to another repository; or move or remove them there; or pass --overwrite "
        "(`overwrite: true` of the job): those that lie where ours are to lie are replaced, the "
        "others stay",
    )


def _is_stranger(file: RemoteFile, staged: Manifest, manifest: Manifest) -> bool:
    mine = staged.file(file.path)
    if mine is None:
        if artifact_of_file(file.name) is None:
            return False
        mine = manifest.file(file.name)
    return mine is None or not same(file, mine.sha256, mine.blob_id)


def _changed_lines(before: str, after: str) -> tuple[int, int]:
    """How many lines appear and disappear."""
    if before == after:
        return 0, 0
    old, new = before.splitlines(), after.splitlines()
    matching = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    same_lines = sum(block.size for block in matching)
    return len(new) - same_lines, len(old) - same_lines


def _changed(path: str, expected: str, found: str) -> ArtifactError:
    return ArtifactError(
        "a file changed while it was being published; nothing was committed",
        where=path,
        expected=f"content of SHA-256 {expected}",
        found=found,
        remedy="publish again; leave the copies in the temporary folder alone",
    )
