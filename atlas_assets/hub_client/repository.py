"""Reading a repository of the Hub: its head, the list of its files, the files themselves."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeGuard

from upath import UPath

from atlas_assets.errors import HubError, HubPermanentError
from atlas_assets.hub_client.client import HubClient

RepoType = Literal["model", "dataset"]
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository at one commit.

    Attributes:
        path: inside the repository.
        size: bytes.
        sha256: of the content, for a file in large file storage; else ``None``.
        blob_id: git's id (SHA-1) of the file, or of its pointer in large file storage.
    """

    path: str
    size: int
    sha256: str | None
    blob_id: str

    @property
    def name(self) -> str:
        """Without folders."""
        return self.path.rpartition("/")[2]

    def is_content_of(self, path: Path | UPath) -> bool:
        """Whether the file at ``path`` has exactly this content."""
        if path.stat().st_size != self.size:
            return False
        if self.sha256 is not None:
            return sha256(path) == self.sha256
        return git_blob_id(path) == self.blob_id


def is_full_sha(revision: str | None) -> TypeGuard[str]:
    """Whether a revision is the full sha of a commit, which always means the same."""
    return revision is not None and re.fullmatch("[0-9a-f]{40}", revision) is not None


def head(client: HubClient, repo_id: str, repo_type: RepoType, revision: str | None = None) -> str:
    """The full sha of the commit that ``revision`` means now. One request.

    Args:
        client: the Hub.
        repo_id: ``owner/name``.
        repo_type: ``model`` or ``dataset``.
        revision: branch, tag or sha; ``None``: the main branch.

    Raises:
        HubPermanentError: there is no such repository or revision, or no access to it.
        HubUnavailableError: the Hub does not answer.
    """

    def ask() -> str:
        api: Any = client.api()
        info = api.repo_info(
            repo_id, repo_type=repo_type, revision=revision, timeout=client.timeout, expand=["sha"]
        )
        sha = str(info.sha)
        if not is_full_sha(sha):
            raise ConnectionError(f"the head is said to be {sha!r}, which is no commit")
        return sha

    what = f"cannot look up the {repo_type} on the Hub"
    return client.call(what, ask, where=repo_id if revision is None else f"{repo_id}@{revision}")


def entries(
    client: HubClient,
    repo_id: str,
    repo_type: RepoType,
    sha: str,
    paths: Iterable[str] | None = None,
) -> dict[str, RemoteFile]:
    """The files of a commit, by path, sorted.

    Args:
        client: the Hub.
        repo_id: ``owner/name``.
        repo_type: ``model`` or ``dataset``.
        sha: the commit.
        paths: only these; those that are not there are left out. ``None``: all.

    Raises:
        HubPermanentError, HubUnavailableError: as for `head`.
    """
    from huggingface_hub.hf_api import RepoFolder

    wanted = None if paths is None else sorted(paths)

    def ask() -> list[RemoteFile]:
        api = client.api()
        listed: Iterable[Any]
        if wanted is None:
            listed = api.list_repo_tree(repo_id, recursive=True, revision=sha, repo_type=repo_type)
        else:
            listed = api.get_paths_info(repo_id, wanted, revision=sha, repo_type=repo_type)
        return [_remote_file(item) for item in listed if not isinstance(item, RepoFolder)]

    files = client.call("cannot list the repository", ask, where=f"{repo_id}@{sha}")
    return {file.path: file for file in sorted(files, key=lambda file: file.path)}


def download(
    client: HubClient, repo_id: str, repo_type: RepoType, sha: str, file: RemoteFile
) -> Path:
    """A file of a commit, on this machine, its content verified against the Hub's digest.

    It lies in huggingface_hub's cache: what is there already is not downloaded again, an
    interrupted transfer goes on where it stopped.

    Args:
        client: the Hub.
        repo_id: ``owner/name``.
        repo_type: ``model`` or ``dataset``.
        sha: the commit.
        file: as `entries` gives it.

    Returns:
        Path in the cache; not to be changed.

    Raises:
        HubPermanentError: as for `head`; or the path that is listed is no place in a repository.
        HubUnavailableError: as for `head`.
        HubError: the content is not what the Hub's digest says, after a second download.
    """
    from huggingface_hub import hf_hub_download

    where = f"{repo_id}@{sha[:12]}: {file.path}"
    _require_place_inside(file.path, where)

    def fetch(*, anew: bool) -> Path:
        return Path(
            hf_hub_download(
                repo_id,
                file.path,
                repo_type=repo_type,
                revision=sha,
                endpoint=client.endpoint,
                token=client.token,
                cache_dir=client.cache_dir,
                etag_timeout=client.timeout,
                force_download=anew,
            )
        )

    for anew in (False, True):
        path = client.call("cannot download a file", partial(fetch, anew=anew), where=where)
        if file.is_content_of(path):
            return path
    found = f"{path.stat().st_size} bytes of SHA-256 {sha256(path)}"
    _forget(path)
    raise HubError(
        "the downloaded file is not the one that is published",
        where=where,
        expected=f"{file.size} bytes of {'SHA-256' if file.sha256 else 'git id'} "
        f"{file.sha256 or file.blob_id}",
        found=found,
        remedy="try again later; if it stays so, the copy on the Hub is damaged",
    )


def _require_place_inside(path: str, where: str) -> None:
    if not is_place_inside(path):
        raise HubPermanentError(
            "a file is listed at a path that is no place in a repository, and is not downloaded",
            where=where,
            expected="a relative path without . and ..",
            found=repr(path),
            remedy="tell the publisher, or choose another revision; if the Hub is not yours, "
            "mistrust it",
        )


def is_place_inside(path: str) -> bool:
    """Whether a path leads to a place below the folder that it starts from, on any machine."""
    parts = path.replace("\\", "/").split("/")
    return not {"", ".", ".."}.intersection(parts) and "\0" not in path


def _forget(path: Path) -> None:
    """Removes a file from the cache: the next one to look there must not take it for sound."""
    for name in (path.resolve(), path):
        name.unlink(missing_ok=True)


def sha256(path: Path | UPath) -> str:
    """SHA-256 of a file, hex."""
    return _digest(path, hashlib.sha256())


def git_blob_id(path: Path | UPath) -> str:
    """git's id of a file's content, hex."""
    # git's own name for a content, not a signature
    return _digest(path, hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False))


def _digest(path: Path | UPath, digest: Any) -> str:
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return str(digest.hexdigest())


def _remote_file(item: Any) -> RemoteFile:
    """As the Hub describes it.

    Raises:
        NotUnderstoodError: it is described otherwise than a Hub does.
    """
    from atlas_assets.hub_client.transport import NotUnderstoodError

    lfs = item.lfs
    file = RemoteFile(
        path=item.path, size=item.size, sha256=lfs.sha256 if lfs else None, blob_id=item.blob_id
    )
    texts = (file.path, file.blob_id, *([file.sha256] if lfs else []))
    if not all(isinstance(text, str) and text for text in texts) or type(file.size) is not int:
        raise NotUnderstoodError(f"a file that is listed as {file}")
    return file
