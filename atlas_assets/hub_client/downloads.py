"""What huggingface_hub's cache holds of a dataset repository, for days without the Hub.

The cache keeps a folder per commit, and in ``refs/<branch or tag>`` which commit a name meant. What
is downloaded by sha, as here, leaves no such note; so it is written here, in the same layout.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from atlas_assets.errors import ArtifactError
from atlas_assets.files import atomic
from atlas_assets.hub_client import repository
from atlas_assets.hub_client.client import HubClient
from atlas_assets.hub_client.repository import RemoteFile, is_full_sha, is_place_inside

#: what no revision means
MAIN = "main"
_SHA256 = re.compile(r"[0-9a-f]{64}")

_log = logging.getLogger(__name__)


def note_meaning(client: HubClient, repo_id: str, revision: str | None, sha: str) -> None:
    """Notes that a branch or tag means a commit of which something has been downloaded.

    A note that cannot be written costs nothing but that the copy is not found without the Hub.
    """
    path = _ref(client, repo_id, revision)
    if path is None or sha == revision or _content(path) == sha:
        return
    try:
        atomic.write_bytes(path, sha.encode(), what="the note of what a revision means")
    except ArtifactError as error:
        _log.warning("%s of %s is not noted: %s", revision or MAIN, repo_id, error.found)


def meant(client: HubClient, repo_id: str, revision: str | None) -> str | None:
    """The sha of the downloaded commit that a branch, tag or sha meant when it was last asked for.

    ``None`` if nothing of it was downloaded: what was downloaded of another branch is not it.
    """
    sha = revision
    if not is_full_sha(revision):
        path = _ref(client, repo_id, revision)
        sha = _content(path) if path else None
    if not is_full_sha(sha):
        return None
    return sha if (_folder(client, repo_id) / "snapshots" / sha).is_dir() else None


def files(client: HubClient, repo_id: str, sha: str) -> dict[str, RemoteFile]:
    """The files of a commit that are in the cache, each with the digest that it is kept under."""
    snapshot = _folder(client, repo_id) / "snapshots" / sha
    found = {}
    for path in sorted(snapshot.rglob("*")):
        if path.is_file():
            blob, name = path.resolve().name, path.relative_to(snapshot).as_posix()
            found[name] = RemoteFile(
                path=name,
                size=path.stat().st_size,
                sha256=blob if _SHA256.fullmatch(blob) else None,
                blob_id=blob if is_full_sha(blob) else repository.git_blob_id(path),
            )
    return found


def _ref(client: HubClient, repo_id: str, revision: str | None) -> Path | None:
    name = revision or MAIN
    return _folder(client, repo_id) / "refs" / name if is_place_inside(name) else None


def _content(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def _folder(client: HubClient, repo_id: str) -> Path:
    from huggingface_hub import constants

    cache = client.cache_dir or Path(constants.HF_HUB_CACHE)
    return Path(cache) / f"datasets--{repo_id.replace('/', '--')}"
