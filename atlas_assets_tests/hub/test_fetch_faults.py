"""Fetching while the Hub misbehaves: what passes is not noticed, what stays fails alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants as hub_constants
from upath import UPath

from atlas_assets.errors import HubPermanentError, HubUnavailableError
from atlas_assets.hub.fetch import choose, fetch
from atlas_assets.hub.source import open_source
from atlas_assets.stages.setting import REFERENCE
from atlas_assets.storage import source_record
from atlas_assets.storage.provenance import Lineage
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.hub.fetching import MASKS, SUMMARY, Get, failures, files, states
from atlas_assets_tests.hub.hub_faults import ERROR_PAGE
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.release_repo import REPO
from atlas_assets_tests.storage import samples

# faults on the way -------------------------------------------------------------------------------


#: what an error says that stays, and how the Hub answers
FINAL: dict[str, dict[str, Any]] = {
    "HTTP 401": {"status": 401},
    "HTTP 403": {"status": 403},
    "no such file": {"status": 404, "headers": {"X-Error-Code": "EntryNotFound"}},
    "wait 900 s": {"status": 429, "headers": {"Retry-After": "900"}},
}
PASSING: dict[str, dict[str, Any]] = {
    "HTTP 429": {"status": 429, "headers": {"Retry-After": "0"}},
    **{f"HTTP {status}": {"status": status} for status in (500, 502, 503, 504)},
    "RemoteProtocolError": {"drop": True},
    "without the headers of a Hub": {"status": 200, "body": ERROR_PAGE},
}


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize(("method", "match"), [("HEAD", "/resolve/"), ("GET", "/_cdn/")])
def test_a_fault_that_passes_is_not_noticed(
    hub: LocalHub, sha: str, get: Get, method: str, match: str, fault: str
) -> None:
    hub.fail(method, match, **PASSING[fault], times=2)
    assert states(get(MASKS)) == {MASKS: "fetched"}


@pytest.mark.parametrize("said", [*FINAL, *PASSING])
def test_a_fault_that_stays_fails_that_file_alone(
    hub: LocalHub, sha: str, get: Get, said: str
) -> None:
    there = f"/resolve/.*{MASKS}"
    hub.fail("HEAD", there, **{**FINAL, **PASSING}[said], times=99)
    outcomes = get("object_masks", "summary")
    assert said in failures(outcomes)[MASKS]
    assert states(outcomes)[SUMMARY] == "fetched"
    assert hub.token not in failures(outcomes)[MASKS]
    assert len(hub.calls("HEAD", there)) == (1 if said in FINAL else 3)


def test_a_stalled_download_ends(hub: LocalHub, sha: str, get: Get) -> None:
    hub.fail("HEAD", "/resolve/", delay=30, times=99)
    outcomes = get("object_masks", "summary", client=hub.client(timeout=0.1, attempts=2))
    assert "Timeout" in failures(outcomes)[MASKS]
    # two files in a row were not given: the rest is not waited for
    assert "stopped answering" in failures(outcomes)[SUMMARY]
    assert len(hub.calls("HEAD", "/resolve/")) == 0


def test_a_truncated_download_goes_on_where_it_stopped(
    hub: LocalHub, sha: str, get: Get, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # else 10 MB
    hub.fail("GET", "/_cdn/", truncate=0.6)
    assert states(get(MASKS)) == {MASKS: "fetched"}
    size = (release / "masks" / MASKS).stat().st_size
    first, second = hub.calls("GET", "/_cdn/")
    assert (first.status, second.status) == (200, 206)
    assert second.range == f"bytes={int(size * 0.6) // 1000 * 1000}-"


def test_a_download_of_other_bytes_is_noticed(hub: LocalHub, sha: str, get: Get) -> None:
    size = len(hub.files(REPO)[f"masks/{MASKS}"])
    hub.fail("GET", "/_cdn/", status=200, body="x" * size, times=1)
    assert states(get(MASKS)) == {MASKS: "fetched"}
    hub.push(REPO, {f"masks/{MASKS}": b"y" * size})
    hub.fail("GET", "/_cdn/", status=200, body="x" * size, times=9)
    message = failures(get(MASKS))[MASKS]
    assert "not the one that is published" in message


def test_a_cache_that_cannot_be_written(hub: LocalHub, sha: str, get: Get, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    message = failures(get(MASKS, client=hub.client(tmp_path / "file" / "cache")))[MASKS]
    assert "Not a directory" in message
    assert "HF_HOME" in message


def test_an_outage_in_the_middle_and_then_the_rest(
    hub: LocalHub, sha: str, get: Get, store: AtlasStore
) -> None:
    hub.fail("HEAD", "/resolve/.*13_object", status=503, times=99)
    first = states(get())
    assert first["12_object_activations.h5"] == "fetched"
    assert list(first.values()).count("failed") > 2
    hub.faults.clear()
    hub.forget_calls()
    second = states(get())
    assert {name for name, state in second.items() if state == "fetched"} == {
        name for name, state in first.items() if state == "failed"
    }
    assert not hub.calls("HEAD", "/resolve/.*12_object")
    assert files(store.root) == sorted(second)


@pytest.mark.parametrize("folder", ["../", "/", "a/../", "./", "a//", "..\\"])
def test_a_path_that_leads_out_of_the_repository_is_refused_alone(
    hub: LocalHub, store: AtlasStore, release: Path, folder: str
) -> None:
    pushed = {folder + SUMMARY: (release / "tables" / SUMMARY).read_bytes()}
    hub.push("someone/odd", {**pushed, MASKS: (release / "masks" / MASKS).read_bytes()})
    client = hub.client()
    source = open_source(client, "someone/odd")
    outcomes = {o.file.name: o for o in fetch(client, source, store, choose(source))}
    assert outcomes.pop(MASKS).state == "fetched"
    for odd in outcomes.values():
        assert "no place in a repository" in str(odd.error)
    assert files(store.root) == [MASKS]


# without the Hub ---------------------------------------------------------------------------------


def test_what_was_downloaded_is_used_and_said_to_be_old(
    hub: LocalHub, sha: str, get: Get, store: AtlasStore, tmp_path: Path
) -> None:
    get("summary", "object_masks")
    client = hub.client()
    hub.close()
    source = open_source(client, REPO)
    assert source.sha == sha
    assert "may be stale" in source.notes[0]
    assert sha in source.notes[0]
    elsewhere = AtlasStore(UPath(tmp_path / "elsewhere"), Lineage)
    outcomes = list(fetch(client, source, elsewhere, choose(source)))
    assert {outcome.state for outcome in outcomes} == {"fetched"}
    assert len(outcomes) == 3
    assert outcomes[-1].record == source_record.read(store.root / SUMMARY)


def test_a_name_finds_its_own_copy(
    hub: LocalHub, sha: str, store: AtlasStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = hub.push(REPO, {f"tables/{SUMMARY}": b"of an experiment\n"}, branch="exp/1")
    hub.repos["dataset", REPO].tags["v1"] = sha
    client = hub.client()
    for revision, expected in (("v1", sha), (None, sha), ("exp/1", later)):
        # what was downloaded by another name is not taken for this one
        with monkeypatch.context() as offline, pytest.raises(HubPermanentError, match="no copy"):
            offline.setattr(hub_constants, "HF_HUB_OFFLINE", True)
            open_source(client, REPO, revision)
        source = open_source(client, REPO, revision)
        outcomes = list(fetch(client, source, store, choose(source, ["summary"]), overwrite=True))
        assert source.sha == expected
        # the last one is no summary, and is downloaded all the same
        assert [outcome.state for outcome in outcomes] == [
            "failed" if revision == "exp/1" else ("fetched" if revision == "v1" else "unchanged")
        ]
    open_source(client, REPO, None)
    hub.close()
    for revision, expected in (("v1", sha), ("exp/1", later), (sha, sha), (later, later)):
        source = open_source(client, REPO, revision)
        assert (source.sha, source.is_copy) == (expected, True)
    for unknown in ("v2", "exp", "../snapshots", "f" * 40, sha[:12]):
        with pytest.raises(HubUnavailableError):
            open_source(client, REPO, unknown)


# through xet: the real hf_xet, against a directory as its store -----------------------------------


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


def test_through_xet_large_files_come(uploaded: LocalHub, store: AtlasStore, release: Path) -> None:
    outcomes = Get(uploaded, store)()
    assert set(states(outcomes).values()) == {"fetched"}
    assert (store.root / MASKS).read_bytes() == (release / "masks" / MASKS).read_bytes()
    assert samples.equal(store.read("object_masks", REFERENCE), samples.objects())
    assert uploaded.calls(match="xet-read-token")
    assert not uploaded.calls("GET", "/_cdn/")
    uploaded.forget_calls()
    assert set(states(Get(uploaded, store)()).values()) == {"unchanged"}
    assert not uploaded.calls(match="xet-read-token")


def test_through_xet_a_store_without_its_content(uploaded: LocalHub, store: AtlasStore) -> None:
    assert uploaded.storage.xet_dir is not None
    cut = [path for path in uploaded.storage.xet_dir.rglob("xorbs/default.*") if path.is_file()]
    assert cut
    for path in cut:
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:100])
    assert states(Get(uploaded, store)(MASKS, SUMMARY)) == {MASKS: "failed", SUMMARY: "fetched"}
    assert not (store.root / MASKS).exists()


@pytest.mark.parametrize(("status", "times", "state"), [(403, 99, "failed"), (503, 2, "fetched")])
def test_through_xet_a_token_that_is_not_given(
    uploaded: LocalHub, store: AtlasStore, status: int, times: int, state: str
) -> None:
    uploaded.fail("GET", "xet-read-token", status=status, times=times)
    outcomes = Get(uploaded, store)(MASKS, SUMMARY)
    assert states(outcomes) == {MASKS: state, SUMMARY: "fetched"}
    for message in failures(outcomes).values():
        assert f"HTTP {status}" in message
        assert uploaded.token not in message
