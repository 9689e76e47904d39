"""The client against a local Hub: what is retried, what is not, and what the errors say."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from huggingface_hub import CommitOperationAdd

from atlas_assets.errors import AtlasError, HubPermanentError, HubUnavailableError
from atlas_assets.hub_client.client import HubClient
from atlas_assets.hub_client.repository import Repository
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub_client.conftest import REPO


def head(client: HubClient) -> str:
    return Repository(client, REPO).head()


def commit(client: HubClient, *files: CommitOperationAdd, **options: Any) -> str:
    made: Any = client.api().create_commit(
        REPO, files, commit_message="a", repo_type="dataset", **options
    )
    return str(made.oid)


@pytest.mark.parametrize("headers", [{"Retry-After": "1"}, {"RateLimit": '"api";r=0;t=1'}])
def test_retry_after_is_waited_for_and_told_of(
    hub: LocalHub, sha: str, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    hub.fail("GET", "/api/datasets/", status=429, headers=headers)
    started = time.monotonic()
    assert head(hub.client()) == sha
    assert time.monotonic() - started >= 1
    (told,) = [record.message for record in caplog.records if "trying again" in record.message]
    assert "429" in told


def test_calls_nest_and_other_errors_pass(hub: LocalHub, sha: str) -> None:
    client = hub.client()
    hub.fail("GET", "/api/datasets/", status=404)
    with pytest.raises(HubPermanentError, match="cannot look up"):
        client.call("outer", lambda: head(client), where="there")

    def broken() -> None:
        raise AtlasError("about something else")

    with pytest.raises(AtlasError, match="about something else"):
        client.call("outer", broken, where="there")
    # a mistake of our own is not the Hub's
    with pytest.raises(ZeroDivisionError):
        client.call("outer", lambda: 1 / 0, where="there")
    with pytest.raises(KeyError):
        client.call("outer", lambda: {}["sha"], where="there")


def test_no_error_tells_a_secret(hub: LocalHub, sha: str) -> None:
    said = f'{{"error":"token {hub.token} of Bearer abc.def is not welcome"}}'
    hub.fail("GET", "/api/datasets/", status=403, body=said, headers={"X-Error-Message": said})
    with pytest.raises(HubPermanentError) as caught:
        head(hub.client())
    shown = str(caught.value)
    assert "is not welcome" in shown
    assert hub.token not in shown
    assert "abc.def" not in shown
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("match", ["/preupload/", "/commit/"])
@pytest.mark.parametrize("body", ["[]", "null", '{"files": [{"path": 1}]}', "[" * 100_000])
def test_an_answer_to_a_commit_that_is_not_understood(
    hub: LocalHub, sha: str, match: str, body: str
) -> None:
    client = hub.client()
    hub.fail("POST", match, status=200, body=body, times=99)
    with pytest.raises(
        HubUnavailableError, match="cannot publish: the Hub's answer is not"
    ) as said:
        client.call(
            "cannot publish", lambda: commit(client, CommitOperationAdd("a", b"a")), where=REPO
        )
    assert said.value.__context__ is None
    assert hub.head(REPO) == sha


def test_for_someone_who_waits(hub: LocalHub) -> None:
    client = replace(hub.client(), timeout=30, attempts=9, backoff=1, longest_wait=60)
    quick = client.interactive()
    assert quick.endpoint == hub.url
    assert quick.attempts * quick.timeout + quick.backoff <= 12
