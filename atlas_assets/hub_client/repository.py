"""Reading a repository of the Hub: its head, its files, and what was downloaded of it before."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeGuard, TypeVar

from upath import UPath

from atlas_assets.errors import ArtifactError, HubError, HubPermanentError, expect
from atlas_assets.files import atomic
from atlas_assets.files.locations import content, file_digest, file_size
from atlas_assets.hub_client.client import HubClient, NotUnderstoodError

T = TypeVar("T")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository at one commit.

    Attributes:
        size: the file's length in bytes.
        sha256: the content's digest, of a file in large file storage; else ``None``.
        blob_id: git's id (SHA-1) of the file, or of its pointer in large file storage.
    """

    path: str
    size: int
    sha256: str | None
    blob_id: str

    @property
    def name(self) -> str:
        """The file's name, without folders."""
        return self.path.rpartition("/")[2]

    def has(self, sha256: str, blob_id: str) -> bool:
        """Return whether these are digests of the file's content, by one of which it is known."""
        return self.sha256 == sha256 if self.sha256 is not None else self.blob_id == blob_id

    def is_content_of(self, path: Path | UPath) -> bool:
        """Return whether the file at ``path`` has exactly this content; errors as of `content`."""
        return self.digest_in(path) is not None

    def digest_in(self, path: Path | UPath) -> str | None:
        """Return the SHA-256 of the file at ``path`` where it has exactly this content."""
        if file_size(path) != self.size:
            return None
        if self.sha256 is not None:
            return self.sha256 if file_digest(path) == self.sha256 else None
        sha256, blob_id = digests_of(content(path))
        return sha256 if blob_id == self.blob_id else None


class Commit(NamedTuple):
    """A commit's full sha and its files by path, sorted."""

    sha: str
    files: dict[str, RemoteFile]


@dataclass(frozen=True)
class Repository:
    """A repository ``owner/name`` of the Hub, to be read.

    A revision is a branch, a tag or a sha; ``None`` is the main branch. Every method raises
    HubPermanentError where there is no such repository or revision, or no access to it, and
    HubUnavailableError where the Hub does not answer.
    """

    client: HubClient
    id: str
    type: Literal["model", "dataset"] = "dataset"

    def head(self, revision: str | None = None) -> str:
        """Return the sha of the commit that a revision means now. One request."""
        return self._ask(revision, lambda info: str(info.sha), expand=["sha"])

    def look_up(self, revision: str | None = None) -> Commit:
        """Return the commit that a revision means now, with its files. One request."""
        return self._ask(revision, _commit, files_metadata=True)

    def is_on_main_branch(self, sha: str) -> bool:
        """Return whether a commit is one of the main branch. A request per fifty commits."""

        def ask() -> bool:
            api: Any = self.client.api()
            commits = api.list_repo_commits(self.id, repo_type=self.type)
            return any(commit.commit_id == sha for commit in commits)

        return self.client.call("cannot list the commits on the Hub", ask, where=self.id)

    def _ask(self, revision: str | None, read: Callable[[Any], T], **wanted: Any) -> T:
        def ask() -> T:
            api: Any = self.client.api()
            info = api.repo_info(
                self.id,
                repo_type=self.type,
                revision=revision,
                timeout=self.client.timeout,
                **wanted,
            )
            if not is_full_sha(str(info.sha)):
                raise ConnectionError(f"the head is said to be {info.sha!r}, which is no commit")
            return read(info)

        where = self.id if revision is None else f"{self.id}@{revision}"
        return self.client.call(f"cannot look up the {self.type} on the Hub", ask, where=where)

    def download(self, sha: str, file: RemoteFile, meant_by: str | None = None) -> Path:
        """Return a file of a commit on this machine, verified against the Hub's digest.

        The file is in huggingface_hub's cache, and is not to be changed: what is there already is
        not downloaded again, and an interrupted transfer goes on where it stopped.

        The branch or tag that means the commit now, ``meant_by``, is noted; see `note`.

        Raises:
            HubError: the content is not what the Hub's digest says, after a second download, or
                the path that is listed is no place in a repository.
        """
        from huggingface_hub import hf_hub_download

        where = f"{self.id}@{sha[:12]}: {file.path}"
        expect(
            is_place_inside(file.path),
            HubPermanentError,
            "a file is listed at a path that is no place in a repository, and is not downloaded",
            where=where,
            expected="a relative path without . and ..",
            found=repr(file.path),
            remedy="tell the publisher, or choose another revision; if the Hub is not yours, "
            "mistrust it",
        )
        for anew in (False, True):
            fetch = partial(
                hf_hub_download,
                self.id,
                file.path,
                repo_type=self.type,
                revision=sha,
                endpoint=self.client.endpoint,
                token=self.client.token,
                cache_dir=self.client.cache_dir,
                etag_timeout=self.client.timeout,
                force_download=anew,
            )
            path = Path(self.client.call("cannot download a file", fetch, where=where))
            if file.is_content_of(path):
                if meant_by:
                    self.note(meant_by, sha)
                return path
        found = f"{path.stat().st_size} bytes of SHA-256 {file_digest(path)}"
        for name in (path.resolve(), path):
            # the next one to look into the cache must not take it for sound
            name.unlink(missing_ok=True)
        raise HubError(
            "the downloaded file is not the one that is published",
            where=where,
            expected=f"{file.size} bytes of {'SHA-256' if file.sha256 else 'git id'} "
            f"{file.sha256 or file.blob_id}",
            found=found,
            remedy="try again later; if it stays so, the copy on the Hub is damaged",
        )

    def note(self, name: str, sha: str) -> None:
        """Note which commit a branch or tag means now, as huggingface_hub does in its cache.

        The commit must have been downloaded, at least in part; later, `snapshot` finds it by name.
        """
        folder = self.snapshot(sha)
        if folder is not None and name != sha and is_place_inside(name):
            # without the note, the copy is not found while the Hub does not answer; no more is lost
            with contextlib.suppress(ArtifactError):
                place = folder.parents[1] / "refs" / name
                atomic.write_bytes(place, sha.encode(), what="the note of what a revision means")

    def snapshot(self, revision: str | None) -> Path | None:
        """Return the folder in the cache of the commit that a revision meant when last asked for.

        It holds the files that were downloaded, and is not to be changed. ``None`` if there are
        none; files of another branch do not count.
        """
        from huggingface_hub import snapshot_download

        try:
            folder = Path(
                snapshot_download(
                    self.id,
                    repo_type=self.type,
                    revision=revision,
                    cache_dir=self.client.cache_dir,
                    local_files_only=True,
                    allow_patterns=[],
                )
            )
        except OSError:
            return None
        return folder if is_full_sha(folder.name) else None

    def downloaded(self, revision: str | None) -> Commit | None:
        """Return the commit that a revision meant, with its files in the cache; see `snapshot`."""
        folder = self.snapshot(revision)
        if folder is None:
            return None
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        files = [_cached(path.relative_to(folder).as_posix(), path) for path in paths]
        return Commit(folder.name, {file.path: file for file in files})


def is_full_sha(revision: str | None) -> TypeGuard[str]:
    """Return whether a revision is the full sha of a commit, which always means the same."""
    return revision is not None and re.fullmatch("[0-9a-f]{40}", revision) is not None


def is_place_inside(path: str) -> bool:
    """Return whether a path leads below the folder that it starts from, on any machine."""
    parts = path.replace("\\", "/").split("/")
    return not {"", ".", ".."}.intersection(parts) and "\0" not in path


def digests_of(data: bytes) -> tuple[str, str]:
    """Return SHA-256 and git's id of bytes, hex, by one of which the Hub knows them."""
    # git's own name for a content, not a signature
    blob_id = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    return hashlib.sha256(data).hexdigest(), blob_id


def _commit(info: Any) -> Commit:
    if info.siblings is None:
        raise NotUnderstoodError("a commit without a list of files")
    files = sorted(map(_remote_file, info.siblings), key=lambda file: file.path)
    return Commit(info.sha, {file.path: file for file in files})


def _remote_file(item: Any) -> RemoteFile:
    digest = item.lfs.sha256 if item.lfs else None
    file = RemoteFile(item.rfilename, item.size, digest, item.blob_id)
    texts = (file.path, file.blob_id, *([file.sha256] if item.lfs else []))
    if not all(isinstance(text, str) and text for text in texts) or type(file.size) is not int:
        raise NotUnderstoodError(f"a file that is listed as {file}")
    return file


def _cached(name: str, path: Path) -> RemoteFile:
    """Return a file in the cache, with the digest by which it is kept there."""
    kept, size = path.resolve().name, path.stat().st_size
    if _SHA256.fullmatch(kept):
        return RemoteFile(name, size, sha256=kept, blob_id=kept)
    blob_id = kept if is_full_sha(kept) else digests_of(path.read_bytes())[1]
    return RemoteFile(name, size, None, blob_id)
