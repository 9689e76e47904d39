"""The repository that is published to, as it is at the moment."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from atlas_assets.errors import HubNotFoundError, HubPermanentError, HubUnavailableError
from atlas_assets.hub import card
from atlas_assets.hub import manifest as manifests
from atlas_assets.hub.manifest import FileRecord, Manifest
from atlas_assets.hub_client.client import HubClient
from atlas_assets.hub_client.repository import RemoteFile, entries

_NOT_FOUND = 404
_FREE_THE_TAG = "delete the tag on the Hub, or rename it, and publish again; it is never moved"


@dataclass(frozen=True)
class Head:
    """The head of the main branch.

    Attributes:
        sha: of the commit.
        files: path → file.
        card: README.md as it stands there, byte for byte (other bytes than UTF-8 as surrogates).
    """

    sha: str
    files: dict[str, RemoteFile]
    card: str

    def holds(self, record: FileRecord) -> bool:
        """Whether a file lies there with the content that is recorded."""
        return same(self.files.get(record.path), record.sha256, record.blob_id)


def same(remote: RemoteFile | None, sha256: str, blob_id: str) -> bool:
    """Whether a file of the Hub has the content of these digests."""
    if remote is None:
        return False
    return remote.sha256 == sha256 if remote.sha256 is not None else remote.blob_id == blob_id


def digests_of(data: bytes) -> tuple[str, str]:
    """SHA-256 and git's id of bytes, by one of which the Hub knows them."""
    # git's own name for a content, not a signature
    blob_id = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    return hashlib.sha256(data).hexdigest(), blob_id


def read_head(client: HubClient, repo_id: str) -> Head | None:
    """The head of a dataset repository; ``None`` where there is none. Two requests.

    Raises:
        HubPermanentError: no access.
        HubUnavailableError: the Hub does not answer.
    """

    def ask() -> Any:
        return client.api().dataset_info(repo_id, files_metadata=True, timeout=client.timeout)

    try:
        info = client.call("cannot read the repository", ask, where=repo_id)
    except HubPermanentError as error:
        if isinstance(error, HubNotFoundError) or error.status == _NOT_FOUND:
            return None
        raise
    files = {file.path: file for file in map(_remote_file, info.siblings or ())}
    text = ""
    if card.NAME in files:
        content = read_file(client, repo_id, info.sha, files[card.NAME])
        text = content.decode("utf-8", "surrogateescape")
    return Head(info.sha, files, text)


def read_manifest(client: HubClient, repo_id: str, head: Head) -> Manifest | None:
    """What was published before; ``None`` where nothing was. One request.

    Raises:
        ArtifactError: the manifest is damaged, or none of ours.
    """
    if manifests.NAME not in head.files:
        return None
    content = read_file(client, repo_id, head.sha, head.files[manifests.NAME])
    return Manifest.from_bytes(content, where=f"{repo_id}@{head.sha[:12]}: {manifests.NAME}")


def read_file(client: HubClient, repo_id: str, sha: str, file: RemoteFile) -> bytes:
    """A small file of a commit, in one request and past every cache, checked against its digest.

    Raises:
        HubPermanentError, HubUnavailableError: as for `read_head`.
    """
    from huggingface_hub import get_session, get_token, hf_hub_url, hf_raise_for_status

    def ask() -> bytes:
        token = client.token or get_token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = hf_hub_url(
            repo_id, file.path, repo_type="dataset", revision=sha, endpoint=client.endpoint
        )
        response = get_session().get(url, headers=headers)
        hf_raise_for_status(response)
        content: bytes = response.content
        if not same(file, *digests_of(content)):
            # asked again: a page that some proxy sends in its place must not become the card
            raise ConnectionError("the answer is not the file that the Hub lists")
        return content

    return client.call("cannot read a file", ask, where=f"{repo_id}@{sha[:12]}: {file.path}")


def is_tagged(client: HubClient, repo_id: str, manifest: Manifest) -> bool:
    """Whether the tag of a version is there. One request.

    Raises:
        HubPermanentError: no access, or it marks something else.
        HubUnavailableError: the Hub does not answer.
    """
    found = _tagged_manifest(client, repo_id, manifest.version)
    if found is None:
        return False
    record = digests_of(manifest.to_bytes())
    if same(found, *record):
        return True
    raise HubPermanentError(
        "the tag of this version marks another one",
        where=f"{repo_id}@{manifest.version}",
        expected=f"{manifests.NAME} of SHA-256 {record[0]}",
        found=f"{found.sha256 or found.blob_id}",
        remedy=_FREE_THE_TAG,
    )


def _tagged_manifest(client: HubClient, repo_id: str, tag: str) -> RemoteFile | None:
    """The manifest in the commit that a tag marks; ``None`` where there is no tag."""
    try:
        found = entries(client, repo_id, "dataset", tag, [manifests.NAME])
    except HubPermanentError as error:
        if isinstance(error, HubNotFoundError) or error.status == _NOT_FOUND:
            return None
        raise
    if manifests.NAME in found:
        return found[manifests.NAME]
    raise HubPermanentError(
        "the tag of this version marks a commit of something else",
        where=f"{repo_id}@{tag}",
        expected=f"a commit with {manifests.NAME}",
        found="none",
        remedy=_FREE_THE_TAG,
    )


def _remote_file(sibling: Any) -> RemoteFile:
    if sibling.blob_id is None:
        raise HubUnavailableError(
            "the Hub lists a file without saying what it is",
            where=sibling.rfilename,
            expected="its size and digest",
            found="neither",
            remedy="try again later",
        )
    lfs = sibling.lfs
    return RemoteFile(
        sibling.rfilename, sibling.size or 0, lfs.sha256 if lfs else None, sibling.blob_id
    )
