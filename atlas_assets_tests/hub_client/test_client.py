"""The client against a local Hub: what is retried, what is not, and what the errors say."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import CommitOperationAdd

from atlas_assets.errors import (
    AtlasError,
    HubConflictError,
    HubError,
    HubPermanentError,
    HubUnavailableError,
)
from atlas_assets.hub_client.redaction import redact
from atlas_assets.hub_client.repository import Repository
from atlas_assets_tests.hub.hub_faults import ERROR_PAGE
from atlas_assets_tests.hub.local_hub import LocalHub

REPO = "someone/atlas"


@pytest.fixture
def sha(hub: LocalHub) -> str:
    return hub.push(REPO, {"14_summary.csv": b"a,b\n1,2\n", "folder/masks.h5": b"x" * 5000})


def test_head_entries_and_downloads(hub: LocalHub, sha: str, tmp_path: Path) -> None:
    client = hub.client(tmp_path)
    assert Repository(client, REPO).head() == sha
    assert len(hub.calls()) == 1
    files = Repository(client, REPO).look_up(sha).files
    assert list(files) == [".gitattributes", "14_summary.csv", "folder/masks.h5"]
    assert files["14_summary.csv"].sha256 is None
    assert files["folder/masks.h5"].sha256 is not None
    for file in files.values():
        path = Repository(client, REPO).download(sha, file)
        assert file.is_content_of(path)
    assert path.read_bytes() == b"x" * 5000
    hub.forget_calls()
    assert Repository(client, REPO).download(sha, file) == path
    assert hub.calls() == []


def test_the_token_goes_to_the_hub_and_nowhere_else(
    hub: LocalHub, sha: str, tmp_path: Path
) -> None:
    client = hub.client(tmp_path)
    file = Repository(client, REPO).look_up(sha).files["folder/masks.h5"]
    Repository(client, REPO).download(sha, file)
    assert [call.authorization for call in hub.calls("GET", "^/_cdn/")] == [""]
    assert all(hub.token in call.authorization for call in hub.calls("HEAD", "/resolve/"))
    assert hub.token not in repr(client) + str(client)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_transient_status_is_asked_again(hub: LocalHub, sha: str, status: int) -> None:
    hub.fail("GET", "/api/", status=status, times=2)
    assert Repository(hub.client(), REPO).head() == sha
    assert [call.status for call in hub.calls()] == [status, status, 200]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_and_given_up_after_the_last_attempt(hub: LocalHub, sha: str, status: int) -> None:
    hub.fail("GET", "/api/", status=status, times=99)
    with pytest.raises(HubUnavailableError, match=f"HTTP {status}") as caught:
        Repository(hub.client(), REPO).head()
    assert caught.value.status == status
    assert len(hub.calls()) == 3


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (400, HubPermanentError, "HTTP 400"),
        (401, HubPermanentError, "hf auth login"),
        (403, HubPermanentError, "access"),
        (404, HubPermanentError, "HTTP 404"),
        (409, HubConflictError, "HTTP 409"),
        (412, HubConflictError, "HTTP 412"),
    ],
)
def test_a_final_status_is_not_asked_again(
    hub: LocalHub, sha: str, status: int, kind: type[HubError], said: str
) -> None:
    hub.fail("GET", "/api/", status=status, times=99)
    with pytest.raises(kind, match=said) as caught:
        Repository(hub.client(), REPO).head()
    assert caught.value.status == status
    assert len(hub.calls()) == 1


def test_what_is_not_there(hub: LocalHub, sha: str) -> None:
    with pytest.raises(HubPermanentError, match="no such repository"):
        Repository(hub.client(), "someone/else").head()
    with pytest.raises(HubPermanentError, match="no such revision") as caught:
        Repository(hub.client(), REPO).head("v9")
    assert caught.value.where == f"{REPO}@v9"
    with pytest.raises(HubPermanentError, match="Invalid credentials"):
        Repository(hub.client(token="hf_wrong"), REPO).head()
    with pytest.raises(HubPermanentError, match="owner/name"):
        Repository(hub.client(), "a//b").head()


def test_retry_after_is_waited_for(hub: LocalHub, sha: str) -> None:
    hub.fail("GET", "/api/", status=429, headers={"Retry-After": "1"})
    started = time.monotonic()
    assert Repository(hub.client(), REPO).head() == sha
    assert time.monotonic() - started >= 1


def test_a_longer_retry_after_than_anyone_waits_ends_it(hub: LocalHub, sha: str) -> None:
    hub.fail("GET", "/api/", status=429, headers={"Retry-After": "3600"}, times=9)
    with pytest.raises(HubUnavailableError, match="asks to wait 3600 s"):
        Repository(hub.client(), REPO).head()
    assert len(hub.calls()) == 1


@pytest.mark.parametrize("after", [False, True])
def test_a_dropped_socket(hub: LocalHub, sha: str, after: bool) -> None:
    hub.fail("GET", "/api/", drop=True, after=after, times=2)
    assert Repository(hub.client(), REPO).head() == sha
    hub.fail("GET", "/api/", drop=True, after=after, times=9)
    with pytest.raises(HubUnavailableError, match="RemoteProtocolError"):
        Repository(hub.client(), REPO).head()


def test_a_stalled_socket(hub: LocalHub, sha: str) -> None:
    hub.fail("GET", "/api/", delay=30, times=9)
    started = time.monotonic()
    with pytest.raises(HubUnavailableError, match="Timeout"):
        Repository(hub.client(timeout=0.2, attempts=2), REPO).head()
    assert 0.4 <= time.monotonic() - started < 5


def test_an_error_page(hub: LocalHub, sha: str) -> None:
    page = {"status": 200, "headers": {"Content-Type": "text/html"}, "body": ERROR_PAGE}
    hub.fail("GET", "/api/", **page, times=2)
    assert Repository(hub.client(), REPO).head() == sha
    hub.fail("GET", "/api/", **page, times=9)
    with pytest.raises(HubUnavailableError, match="no JSON"):
        Repository(hub.client(), REPO).head()


def test_nobody_answers(hub: LocalHub) -> None:
    hub.close()
    started = time.monotonic()
    with pytest.raises(HubUnavailableError, match="ConnectError"):
        Repository(hub.client(), REPO).head()
    assert time.monotonic() - started < 2


def test_a_writing_request_runs_the_whole_call_again(hub: LocalHub, sha: str) -> None:
    client, heads = hub.client(), []

    def publish() -> str:
        heads.append(Repository(client, REPO).head())
        made: Any = client.api().create_commit(
            REPO,
            [CommitOperationAdd("a.txt", b"%d" % len(heads))],
            commit_message="a",
            repo_type="dataset",
            parent_commit=heads[-1],
        )
        return str(made.oid)

    hub.fail("POST", "/commit/", status=503)
    assert client.call("cannot publish", publish, where=REPO) == hub.head(REPO)
    assert heads == [sha, sha]
    hub.fail("POST", "/commit/", status=412)
    with pytest.raises(HubConflictError):
        client.call("cannot publish", publish, where=REPO)
    assert len(heads) == 3


def test_a_failing_upload_ends_within_its_attempts(hub: LocalHub, sha: str) -> None:
    client = hub.client()
    hub.fail("PUT", "/_lfs/", status=500, times=99)

    def publish() -> None:
        files = [CommitOperationAdd(f"{n}.h5", b"%d" % n * 100) for n in range(4)]
        client.api().create_commit(REPO, files, commit_message="a", repo_type="dataset")

    with pytest.raises(HubUnavailableError, match="HTTP 500"):
        client.call("cannot publish", publish, where=REPO)
    assert len(hub.calls("PUT")) <= 3 * 4
    assert hub.head(REPO) == sha


def test_calls_nest_and_other_errors_pass(hub: LocalHub, sha: str) -> None:
    client = hub.client()
    hub.fail("GET", "/api/", status=404)
    with pytest.raises(HubPermanentError, match="cannot look up"):
        client.call("outer", lambda: Repository(client, REPO).head(), where="there")

    def broken() -> None:
        raise AtlasError("about something else")

    with pytest.raises(AtlasError, match="about something else"):
        client.call("outer", broken, where="there")
    with pytest.raises(ZeroDivisionError):
        client.call("outer", lambda: 1 / 0, where="there")


def test_no_error_tells_a_secret(hub: LocalHub, sha: str) -> None:
    said = f'{{"error":"token {hub.token} of Bearer abc.def is not welcome"}}'
    hub.fail("GET", "/api/", status=403, body=said, headers={"X-Error-Message": said})
    with pytest.raises(HubPermanentError) as caught:
        Repository(hub.client(), REPO).head()
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

    def publish() -> None:
        files = [CommitOperationAdd("a.txt", b"a")]
        client.api().create_commit(REPO, files, commit_message="a", repo_type="dataset")

    hub.fail("POST", match, status=200, body=body, times=99)
    with pytest.raises(
        HubUnavailableError, match="cannot publish: the Hub's answer is not"
    ) as said:
        client.call("cannot publish", publish, where=REPO)
    assert said.value.__context__ is None
    assert hub.head(REPO) == sha


def test_a_mistake_of_our_own_is_not_the_hubs(hub: LocalHub) -> None:
    def broken(key: str) -> Any:
        return {}[key]

    with pytest.raises(KeyError):
        hub.client().call("outer", lambda: broken("sha"), where="there")


def test_redaction() -> None:
    text = "hf_" + "a" * 34 + " at https://cdn/x?X-Amz-Signature=1&y=2 with Authorization: Bearer t"
    assert redact(text) == "[hidden] at https://cdn/x with Authorization: Bearer [hidden]"
    assert redact("hf_hub_download of secret", "secret", None, "") == "hf_hub_download of [hidden]"


def test_addresses_in_the_librarys_log_are_cut(
    hub: LocalHub, sha: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = hub.client(tmp_path)
    file = Repository(client, REPO).look_up(sha).files["folder/masks.h5"]
    hub.fail("GET", "/_cdn/", truncate=0.5)
    with caplog.at_level(logging.WARNING):
        # huggingface_hub's loggers do not pass their records on
        logging.getLogger("huggingface_hub").addHandler(caplog.handler)
        try:
            Repository(client, REPO).download(sha, file)
        finally:
            logging.getLogger("huggingface_hub").removeHandler(caplog.handler)
    assert "/_cdn/" in caplog.text
    assert "Signature" not in caplog.text


def test_for_someone_who_waits(hub: LocalHub) -> None:
    client = replace(hub.client(), timeout=30, attempts=9, backoff=1, longest_wait=60)
    quick = client.interactive()
    assert quick.endpoint == hub.url
    assert quick.attempts * quick.timeout + quick.backoff <= 12


def test_offline_mode_sends_nothing(hub: LocalHub, sha: str, tmp_path: Path) -> None:
    code = (
        "from atlas_assets.errors import HubPermanentError\n"
        "from atlas_assets.hub_client.repository import Repository\n"
        "from atlas_assets.hub_client.client import HubClient\n"
        f"try: Repository(HubClient(), {REPO!r}).head()\n"
        "except HubPermanentError as error: raise SystemExit(str(error))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=hub.environment(tmp_path, HF_HUB_OFFLINE="1"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "HF_HUB_OFFLINE" in done.stderr
    assert done.returncode == 1
    assert hub.calls() == []
