"""The repository that is published to, as it is at the moment.

Every function here that asks the Hub raises `HubPermanentError` without access, and
`HubUnavailableError` where the Hub does not answer.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from atlas_assets.errors import HubNotFoundError, HubPermanentError
from atlas_assets.hub import card
from atlas_assets.hub import manifest as manifests
from atlas_assets.hub.manifest import FileRecord, Manifest
from atlas_assets.hub_client.client import HubClient
from atlas_assets.hub_client.repository import RemoteFile, Repository

_NOT_FOUND = 404


@dataclass(frozen=True)
class Head:
    """The head of the main branch: commit, files by path, and card.

    The card is README.md byte for byte (other bytes than UTF-8 as surrogates).
    """

    sha: str
    files: dict[str, RemoteFile]
    card: str

    def holds(self, record: FileRecord) -> bool:
        """Whether a file is there with the content that is recorded."""
        return same(self.files.get(record.path), record.sha256, record.blob_id)


def same(remote: RemoteFile | None, sha256: str, blob_id: str) -> bool:
    """Whether a file of the Hub has the content of these digests."""
    if remote is None:
        return False
    return remote.sha256 == sha256 if remote.sha256 is not None else remote.blob_id == blob_id


def digests_of(data: bytes) -> tuple[str, str]:
    """Return SHA-256 and git's id of bytes, by one of which the Hub knows them."""
    # git's own name for a content, not a signature
    blob_id = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    return hashlib.sha256(data).hexdigest(), blob_id


def read_head(client: HubClient, repo_id: str) -> Head | None:
    """Read the head of a dataset repository; ``None`` where there is none. Two requests."""

    try:
        sha, files = Repository(client, repo_id).look_up()
    except HubPermanentError as error:
        if _is_missing(error):
            return None
        raise
    text = ""
    if card.NAME in files:
        text = _read(client, repo_id, sha, files[card.NAME]).decode("utf-8", "surrogateescape")
    return Head(sha, files, text)


def read_manifest(client: HubClient, repo_id: str, head: Head, staged: Manifest) -> Manifest | None:
    """Read what was published before; ``None`` where nothing was.

    One request, or none where it is what is ``staged``.

    Raises:
        ArtifactError: the manifest is damaged, or none of ours.
    """
    remote = head.files.get(manifests.NAME)
    if remote is None:
        return None
    if same(remote, *digests_of(staged.to_bytes())):
        return staged
    content = _read(client, repo_id, head.sha, remote)
    return Manifest.from_bytes(content, where=f"{repo_id}@{head.sha[:12]}: {manifests.NAME}")


def is_tagged(client: HubClient, repo_id: str, manifest: Manifest) -> bool:
    """Whether the tag of a version is there. One request.

    Raises:
        HubPermanentError: it marks something else.
    """
    tag, digests = manifest.version, digests_of(manifest.to_bytes())
    try:
        found = Repository(client, repo_id).look_up(tag).files.get(manifests.NAME)
    except HubPermanentError as error:
        if _is_missing(error):
            return False
        raise
    if same(found, *digests):
        return True
    raise HubPermanentError(
        f"the tag of this version marks {'another one' if found else 'a commit of something else'}",
        where=f"{repo_id}@{tag}",
        expected=f"a commit with {manifests.NAME} of SHA-256 {digests[0]}",
        found=f"{found.sha256 or found.blob_id}" if found else f"no {manifests.NAME}",
        remedy="delete the tag on the Hub, or rename it, and publish again; it is never moved",
    )


def _read(client: HubClient, repo_id: str, sha: str, file: RemoteFile) -> bytes:
    """A small file of a commit, in one request and past every cache, checked against its digest."""
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


def _is_missing(error: HubPermanentError) -> bool:
    return isinstance(error, HubNotFoundError) or error.status == _NOT_FOUND
