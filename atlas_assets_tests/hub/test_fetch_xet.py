"""Fetching with xet on: the real hf_xet, against a directory as its store."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas_assets.stages.setting import REFERENCE
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.hub.fetching import MASKS, SUMMARY, Get, failures, states
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.release_repo import REPO
from atlas_assets_tests.storage import samples


@pytest.fixture
def uploaded(xet_hub: LocalHub, release: Path) -> LocalHub:
    """A Hub whose large files were uploaded through xet."""
    client = xet_hub.client()
    api = client.api()

    def upload() -> None:
        api.create_repo(REPO, repo_type="dataset", exist_ok=True)
        api.upload_folder(repo_id=REPO, repo_type="dataset", folder_path=release)

    client.call("cannot upload", upload, where=REPO)
    assert xet_hub.storage.xet
    xet_hub.forget_calls()
    return xet_hub


def test_large_files_come_through_xet(uploaded: LocalHub, store: AtlasStore, release: Path) -> None:
    outcomes = Get(uploaded, store)()
    assert set(states(outcomes).values()) == {"fetched"}
    assert (store.root / MASKS).read_bytes() == (release / "masks" / MASKS).read_bytes()
    assert samples.equal(store.read("object_masks", REFERENCE), samples.objects())
    assert uploaded.calls(match="xet-read-token")
    assert not uploaded.calls("GET", "/_cdn/")
    uploaded.forget_calls()
    assert set(states(Get(uploaded, store)()).values()) == {"unchanged"}
    assert not uploaded.calls(match="xet-read-token")


def test_a_store_that_has_lost_its_content(uploaded: LocalHub, store: AtlasStore) -> None:
    assert uploaded.storage.xet_dir is not None
    cut = [path for path in uploaded.storage.xet_dir.rglob("xorbs/default.*") if path.is_file()]
    assert cut
    for path in cut:
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:100])
    assert states(Get(uploaded, store)(MASKS, SUMMARY)) == {MASKS: "failed", SUMMARY: "fetched"}
    assert not (store.root / MASKS).exists()


@pytest.mark.parametrize(("status", "times", "state"), [(403, 99, "failed"), (503, 2, "fetched")])
def test_the_xet_token_is_not_given(
    uploaded: LocalHub, store: AtlasStore, status: int, times: int, state: str
) -> None:
    uploaded.fail("GET", "xet-read-token", status=status, times=times)
    outcomes = Get(uploaded, store)(MASKS, SUMMARY)
    assert states(outcomes) == {MASKS: state, SUMMARY: "fetched"}
    for message in failures(outcomes).values():
        assert f"HTTP {status}" in message
        assert uploaded.token not in message
