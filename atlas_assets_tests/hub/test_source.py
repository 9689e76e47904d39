"""A repository as a source: by which names it is found, and answers that are none of a Hub's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atlas_assets.errors import HubNotFoundError, HubPermanentError, HubUnavailableError
from atlas_assets.hub.source import open_source
from atlas_assets_tests.hub.fetching import SUMMARY, Get
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.release_repo import OTHER_NAME, REPO

WITHOUT_FILES = {"id": REPO, "sha": "0" * 40}
OTHERWISE = [
    "null",
    "[]",
    "{}",
    '"text"',
    "7",
    '{"sha": 7}',
    "[" * 100_000,
    json.dumps({"id": REPO, "sha": "main", "siblings": []}),
    json.dumps(WITHOUT_FILES),
    *(
        json.dumps({**WITHOUT_FILES, "siblings": siblings})
        for siblings in (7, "text", {"a": 1}, [None], ["14_summary.csv"])
    ),
]


@pytest.mark.parametrize(("there", "asked"), [(REPO, OTHER_NAME), (OTHER_NAME, REPO)])
def test_the_papers_repository_has_two_names(
    hub: LocalHub, release: Path, there: str, asked: str
) -> None:
    hub.push(there, {f"tables/{SUMMARY}": (release / "tables" / SUMMARY).read_bytes()})
    source = open_source(hub.client(), asked)
    assert source.repo_id == there
    assert asked in source.notes[0]
    with pytest.raises(HubNotFoundError, match="someone/else"):
        open_source(hub.client(), "someone/else")


@pytest.mark.parametrize("body", OTHERWISE)
def test_an_answer_of_another_shape_is_said_to_be_one(hub: LocalHub, sha: str, body: str) -> None:
    page = {"status": 200, "headers": {"Content-Type": "application/json"}, "body": body}
    hub.fail("GET", "/api/datasets/", **page, times=2)
    assert open_source(hub.client(), REPO).sha == sha
    hub.fail("GET", "/api/datasets/", **page, times=99)
    with pytest.raises(HubUnavailableError, match=r"not understood|which is no commit"):
        open_source(hub.client(), REPO)


@pytest.mark.parametrize(
    "changes",
    [
        {"rfilename": None},
        {"rfilename": ""},
        {"size": "3"},
        {"size": None},
        {"blobId": None},
        {"lfs": {"sha256": None, "size": 3, "pointerSize": 130}},
        {"lfs": {"sha256": 7, "size": 3, "pointerSize": 130}},
        {"lfs": {"size": 3}},
    ],
)
def test_a_file_that_is_listed_otherwise(hub: LocalHub, sha: str, changes: dict[str, Any]) -> None:
    file = {"rfilename": SUMMARY, "size": 3, "blobId": "a" * 40, **changes}
    body = json.dumps({**WITHOUT_FILES, "siblings": [file]})
    hub.fail("GET", "/api/datasets/", status=200, body=body, times=99)
    with pytest.raises(HubUnavailableError, match="not understood") as caught:
        open_source(hub.client(), REPO)
    assert "cannot look up the dataset" in str(caught.value)


def test_a_manifest_without_end_is_damaged(hub: LocalHub, sha: str) -> None:
    hub.push(REPO, {"atlas.json": b"[" * 200_000})
    assert open_source(hub.client(), REPO).published


def test_an_address_that_is_none(hub: LocalHub) -> None:
    for endpoint in ("notaurl", "ftp://hub"):
        with pytest.raises(HubPermanentError, match="HF_ENDPOINT") as caught:
            open_source(replace(hub.client(), endpoint=endpoint), REPO)
        assert endpoint in str(caught.value.found)
        assert "later" not in str(caught.value)


def test_a_refusal_is_not_taken_for_an_outage(hub: LocalHub, sha: str, get: Get) -> None:
    get("summary")
    with pytest.raises(Exception, match="Invalid credentials"):
        open_source(hub.client(token="hf_wrong"), REPO)
