"""What is read of a repository, at one commit and verified."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from huggingface_hub import snapshot_download

from atlas_assets.hub_client.repository import Repository
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub_client.conftest import REPO


def test_head_files_and_downloads(hub: LocalHub, sha: str, tmp_path: Path) -> None:
    repository = Repository(hub.client(tmp_path), REPO)
    assert repository.head() == sha
    found, files = repository.look_up()
    assert found == sha
    assert len(hub.calls()) == 2
    assert list(files) == [".gitattributes", "14_summary.csv", "folder/masks.h5"]
    assert files["14_summary.csv"].sha256 is None
    assert files["folder/masks.h5"].sha256 is not None
    assert repository.downloaded(sha) is None
    for file in files.values():
        path = repository.download(sha, file, meant_by="main")
        assert file.is_content_of(path)
    assert path.read_bytes() == b"x" * 5000
    hub.forget_calls()
    assert repository.download(sha, file) == path
    for revision in (sha, "main", None):
        copy = repository.downloaded(revision)
        assert copy is not None
        assert copy.sha == sha
        assert all(files[name].is_content_of(path.parents[1] / name) for name in copy.files)
        assert copy.files.keys() == files.keys()
    assert repository.downloaded("v1") is None
    assert hub.calls() == []


def test_part_of_a_commit_that_somebody_else_downloaded_is_found(
    hub: LocalHub, sha: str, tmp_path: Path
) -> None:
    client = hub.client(tmp_path)
    get = partial(snapshot_download, REPO, repo_type="dataset", allow_patterns=["*.csv"])
    get(endpoint=hub.url, token=hub.token, cache_dir=tmp_path)
    copy = Repository(client, REPO).downloaded("main")
    assert copy is not None
    assert (copy.sha, list(copy.files)) == (sha, ["14_summary.csv"])


def test_the_token_goes_to_the_hub_and_nowhere_else(
    hub: LocalHub, sha: str, tmp_path: Path
) -> None:
    client = hub.client(tmp_path)
    repository = Repository(client, REPO)
    repository.download(sha, repository.look_up().files["folder/masks.h5"])
    assert [call.authorization for call in hub.calls("GET", "^/_cdn/")] == [""]
    assert all(hub.token in call.authorization for call in hub.calls("HEAD", "/resolve/"))
    assert hub.token not in repr(client) + str(repository)
