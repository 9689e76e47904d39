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
from atlas_assets.storage import source_record
from atlas_assets.storage.provenance import Lineage
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.hub.fetching import MASKS, SUMMARY, Get, failures, files, states
from atlas_assets_tests.hub.hub_faults import ERROR_PAGE
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.release_repo import REPO

# faults on the way -------------------------------------------------------------------------------


def resolve_faults() -> dict[str, dict[str, Any]]:
    page = {"headers": {"Content-Type": "text/html"}, "body": ERROR_PAGE}
    return {
        "429 with Retry-After": {"status": 429, "headers": {"Retry-After": "0"}},
        "500": {"status": 500},
        "503": {"status": 503},
        "HTML error page": {"status": 200, **page},
        "dropped socket": {"drop": True},
    }


@pytest.mark.parametrize("fault", resolve_faults().values(), ids=resolve_faults())
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_fault_that_passes_is_not_noticed(
    hub: LocalHub, sha: str, get: Get, method: str, fault: dict[str, Any]
) -> None:
    match = "/resolve/" if method == "HEAD" else "/_cdn/"
    hub.fail(method, match, **fault, times=2)
    assert states(get(MASKS)) == {MASKS: "fetched"}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"status": 401}, "HTTP 401"),
        ({"status": 403}, "HTTP 403"),
        ({"status": 404, "headers": {"X-Error-Code": "EntryNotFound"}}, "no such file"),
        ({"status": 429, "headers": {"Retry-After": "900"}}, "wait 900 s"),
        ({"status": 500}, "HTTP 500"),
        ({"status": 503}, "HTTP 503"),
        ({"drop": True}, "RemoteProtocolError"),
        ({"status": 200, "body": ERROR_PAGE}, "without the headers of a Hub"),
    ],
)
def test_a_fault_that_stays_fails_that_file_alone(
    hub: LocalHub, sha: str, get: Get, store: AtlasStore, fault: dict[str, Any], said: str
) -> None:
    hub.fail("HEAD", f"/resolve/.*{MASKS}", **fault, times=99)
    outcomes = get("object_masks", "summary")
    assert said in failures(outcomes)[MASKS]
    assert states(outcomes)[SUMMARY] == "fetched"
    assert hub.token not in failures(outcomes)[MASKS]
    tries = len(hub.calls("HEAD", f"/resolve/.*{MASKS}"))
    assert tries == (1 if "4" in said[:6] or "900" in said or "such" in said else 3)


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
