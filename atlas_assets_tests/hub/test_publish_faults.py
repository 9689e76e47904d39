"""The fault table of docs/hub.md, row by row: the real client against a Hub that misbehaves."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError

from atlas_assets.errors import HubNotFoundError, HubPermanentError, HubUnavailableError
from atlas_assets.hub.staging import Stage
from atlas_assets_tests.hub.hub_faults import ERROR_PAGE
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.publishing import (
    FRONT,
    HAND_WRITTEN,
    REPO,
    Atlas,
    Publisher,
    Trusting,
)

#: (method, path) of every request that publishing makes to a repository that is there
REQUESTS = {
    "info": ("GET", r"/api/datasets/[^/]+/[^/]+\?"),
    "card": ("GET", r"/README\.md"),
    "validate-yaml": ("POST", r"validate-yaml"),
    "preupload": ("POST", r"/preupload/"),
    "batch": ("POST", r"lfs/objects"),
    "upload": ("PUT", r"/_lfs/"),
    "commit": ("POST", r"/commit/"),
    "tag": ("POST", r"/tag/"),
    "version": ("GET", r"/revision/atlas-"),
}
CREATE = ("POST", r"/repos/create")
XET = ("GET", r"/xet-write-token/")
COMMIT = REQUESTS["commit"]
HTML = {"headers": {"Content-Type": "text/html"}, "body": ERROR_PAGE}


@pytest.fixture
def publisher(hub: LocalHub, few: Stage) -> Publisher:
    """A few files, and a repository that holds a card of somebody."""
    publisher = Publisher(hub, few)
    publisher.hub.push(REPO, {"README.md": f"{FRONT}{HAND_WRITTEN}".encode()})
    return publisher


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("request_", ["info", "commit", "preupload", "tag"])
def test_what_the_hub_refuses_is_not_tried_again(
    publisher: Publisher, status: int, request_: str
) -> None:
    before = publisher.head
    publisher.hub.fail(*REQUESTS[request_], status=status, times=99)
    if (request_, status) == ("info", 404):
        # there is said to be none: it is made, and still does not show itself
        with pytest.raises(HubPermanentError, match="does not show itself"):
            publisher.publish()
    else:
        with pytest.raises(HubPermanentError) as refused:
            publisher.publish()
        assert refused.value.status == status
        told = {401: "hf auth login", 403: "access", 404: "HTTP 404"}[status]
        assert told in str(refused.value)
        assert len(publisher.hub.calls(*REQUESTS[request_])) == 1
    if request_ == "tag":
        assert publisher.commits() == 2
        told = str(refused.value)
        assert f"the commit {publisher.head} landed" in told and "are left to do" in told
    else:
        assert publisher.head == before
    publisher.hub.faults.clear()
    publisher.publish()
    assert publisher.is_whole() and publisher.commits() == 2


def test_a_repository_that_may_not_be_made(publisher: Publisher) -> None:
    publisher.hub.repos.clear()
    publisher.hub.fail(*CREATE, status=403, times=99)
    with pytest.raises(HubPermanentError, match="cannot create the repository"):
        publisher.publish()
    assert len(publisher.hub.calls(*CREATE)) == 1


def test_a_card_that_the_hub_finds_invalid(publisher: Publisher) -> None:
    before, request = publisher.head, REQUESTS["validate-yaml"]
    said = '{"errors":[{"message":"license must be one of"}]}'
    publisher.hub.fail(*request, status=400, body=said, times=99)
    with pytest.raises(HubPermanentError):
        publisher.publish()
    assert len(publisher.hub.calls(*request)) == 1 and publisher.head == before


def test_a_repository_that_is_deleted_meanwhile(publisher: Publisher) -> None:
    with pytest.raises(HubNotFoundError):
        publisher.publish(verifier=Trusting(between=lambda _: publisher.hub.repos.clear()))


FAULTS: dict[str, dict[str, Any]] = {
    "429 with Retry-After": {"status": 429, "headers": {"Retry-After": "1"}},
    "500": {"status": 500},
    "503": {"status": 503},
    "dropped socket": {"drop": True},
    "stalled socket": {"delay": 1.5},
    "HTML error page": {"status": 502, **HTML},
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("request_", ["info", "preupload", "upload", "commit"])
def test_what_passes_is_tried_again(publisher: Publisher, fault: str, request_: str) -> None:
    publisher.hub.fail(*REQUESTS[request_], **FAULTS[fault])
    client = publisher.hub.client(timeout=0.7)
    began = time.monotonic()
    publisher.publish(client=client)
    if fault.startswith("429"):
        assert time.monotonic() - began >= 1.0
    assert publisher.is_whole() and publisher.commits() == 2
    assert HAND_WRITTEN in publisher.card()


@pytest.mark.parametrize("request_", sorted(REQUESTS))
def test_a_hub_that_is_down_is_given_up(publisher: Publisher, request_: str) -> None:
    before = publisher.head
    publisher.hub.fail(*REQUESTS[request_], status=503, times=99)
    with pytest.raises(HubUnavailableError) as down:
        publisher.publish()
    assert down.value.status == 503
    assert "503" in str(down.value) and "try again later" in str(down.value)
    # each file is sent three times at most
    sent = len(publisher.stage.manifest.paths) if request_ == "upload" else 1
    assert len(publisher.hub.calls(*REQUESTS[request_])) <= 3 * sent
    if request_ == "tag":
        assert f"the commit {publisher.head} landed" in str(down.value)
    else:
        assert publisher.head == before
    # where a commit may have landed although nobody said so, that is said
    assert (request_ == "commit") <= ("whether a commit landed" in str(down.value))
    publisher.hub.faults.clear()
    publisher.publish()
    assert publisher.is_whole() and publisher.commits() == 2


def test_a_hub_that_asks_to_wait_for_long_is_given_up_at_once(publisher: Publisher) -> None:
    publisher.hub.fail(*COMMIT, status=429, headers={"Retry-After": "3600"})
    began = time.monotonic()
    with pytest.raises(HubUnavailableError, match="429"):
        publisher.publish()
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("lost", [{"drop": True}, {"status": 500}, {"status": 504, **HTML}])
@pytest.mark.parametrize("request_", ["commit", "tag"])
def test_an_answer_that_is_lost_after_the_work_is_done(
    publisher: Publisher, lost: dict[str, Any], request_: str
) -> None:
    publisher.hub.fail(*REQUESTS[request_], after=True, **lost)
    published = publisher.publish()
    assert published.committed
    assert publisher.is_whole() and publisher.commits() == 2
    assert published.sha == publisher.head


def test_what_is_not_known_of_a_commit_is_said(publisher: Publisher) -> None:
    """Its answer is lost, and then nobody lets us look."""
    publisher.hub.fail(*COMMIT, after=True, drop=True)

    def refuse(_: Stage) -> None:
        publisher.hub.fail(*REQUESTS["info"], status=403, times=99)

    with pytest.raises(HubPermanentError, match="whether a commit landed") as refused:
        publisher.publish(verifier=Trusting(between=refuse))
    assert refused.value.status == 403
    publisher.hub.faults.clear()
    again = publisher.publish()
    assert not again.committed and again.tagged and publisher.commits() == 2


def test_a_tag_that_somebody_makes_meanwhile(publisher: Publisher) -> None:
    """It marks something else, and was not there before the commit."""
    publisher.hub.fail(*REQUESTS["tag"], status=409)
    version = publisher.stage.manifest.version
    side = publisher.hub.push(REPO, {"atlas.json": b"{}"}, branch="side")

    @dataclass
    class Slow(Trusting):
        def repository(self, *_: Any) -> None:
            publisher.tags[version] = side

    with pytest.raises(HubPermanentError, match="marks another one") as refused:
        publisher.publish(verifier=Slow())
    assert f"the commit {publisher.head} landed" in str(refused.value)
    assert publisher.tags == {version: side}


@pytest.mark.parametrize("request_", ["info", "card", "validate-yaml", "preupload"])
def test_a_page_in_place_of_an_answer(publisher: Publisher, request_: str) -> None:
    """A proxy's page says 200; it must never become the card."""
    publisher.hub.fail(*REQUESTS[request_], status=200, **HTML)
    publisher.publish()
    assert publisher.is_whole() and publisher.commits() == 2
    assert "DOCTYPE" not in publisher.card() and HAND_WRITTEN in publisher.card()


def test_a_conflict_is_looked_at_anew(publisher: Publisher) -> None:
    publisher.hub.fail(*COMMIT, status=409, times=2)
    publisher.publish()
    assert publisher.is_whole() and publisher.commits() == 2


def test_a_stale_head_is_read_again_with_the_card_that_is_there_now(publisher: Publisher) -> None:
    """The Hub's own 412: somebody commits after the head was read."""

    def meanwhile(_: Stage) -> None:
        newer = f"{FRONT}{HAND_WRITTEN}\nAnd more.\n"
        publisher.hub.push(REPO, {"README.md": newer.encode(), "theirs.txt": b"theirs"})

    published = publisher.publish(verifier=Trusting(between=meanwhile))
    answers = [call.status for call in publisher.hub.calls(*COMMIT)]
    assert answers == [412, 200]
    assert publisher.is_whole() and publisher.commits() == 3
    assert "And more." in publisher.card()
    assert publisher.hub.files(REPO)["theirs.txt"] == b"theirs"
    assert published.sha == publisher.head


def test_a_repository_that_never_rests_is_given_up(publisher: Publisher) -> None:
    publisher.hub.fail(*COMMIT, status=412, times=999)
    with pytest.raises(HubUnavailableError, match="a moment in which nobody else commits"):
        publisher.publish()
    assert publisher.commits() == 1


def test_eight_writers_at_once(publisher: Publisher) -> None:
    """Their files and words survive, and so does the atlas; nobody's commit is lost."""
    hub, start = publisher.hub, threading.Barrier(9)

    def write(number: int) -> None:
        api = HfApi(endpoint=hub.url, token=hub.token)
        start.wait()
        for _ in range(40):
            head = api.dataset_info(REPO).sha
            card = hub.files(REPO, revision=head)["README.md"].decode()
            mine = f"{card}\nWriter {number} was here.\n"
            operations = [
                CommitOperationAdd(f"writer-{number}.txt", str(number).encode()),
                CommitOperationAdd("README.md", mine.encode()),
            ]
            try:
                api.create_commit(
                    REPO, operations, commit_message="w", repo_type="dataset", parent_commit=head
                )
            except HfHubHTTPError as error:  # a stale head, as ours
                assert "412" in str(error)
            else:
                return

    with ThreadPoolExecutor(8) as pool:
        writers = [pool.submit(write, number) for number in range(8)]
        start.wait()
        published = publisher.publish()
        for writer in writers:
            writer.result()
    assert published.committed
    assert publisher.is_whole() and publisher.commits() == 1 + 8 + 1
    for number in range(8):
        assert f"Writer {number} was here." in publisher.card()
        assert hub.files(REPO)[f"writer-{number}.txt"] == str(number).encode()
    assert publisher.publish().committed is False


def test_eight_publications_of_one_atlas_make_one_commit(publisher: Publisher) -> None:
    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(publisher.publish) for _ in range(8)]
    assert any(publication.result().committed for publication in running)
    assert publisher.commits() == 2 and publisher.is_whole()


# killed: the repository is at the old commit or at the new one ------------------------------------

PATIENCE = 60.0
#: publishes a few files of the sound atlas in the folder that it is given
PROGRAM = """
import sys
from pathlib import Path
from atlas_assets.atlas.open import open_with_model
from atlas_assets.hub_client.client import HubClient
from atlas_assets_tests.hub.publishing import FEW, Atlas
from atlas_assets_tests.soundness import sound_atlas

settings = sound_atlas.settings_in(Path(sys.argv[1]))
Atlas(open_with_model(settings), settings).publish(HubClient(), cells=FEW)
"""


@pytest.mark.parametrize(
    ("request_", "landed"), [("upload", False), ("commit", False), ("tag", True)]
)
def test_a_killed_publication(
    publisher: Publisher, atlas: Atlas, tmp_path: Path, request_: str, landed: bool
) -> None:
    hub, before = publisher.hub, publisher.head
    # what a killed publication leaves behind goes there
    environment = hub.environment(tmp_path / "home", TMPDIR=str(tmp_path))
    stalled = hub.fail(*REQUESTS[request_], delay=PATIENCE, drop=True)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, atlas.settings.data_dir], env=environment
    )
    try:
        end = time.monotonic() + PATIENCE
        while stalled.times:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    if landed:
        assert publisher.head != before and publisher.commits() == 2 and not publisher.tags
    else:
        assert publisher.head == before and set(hub.files(REPO)) == {"README.md"}
    again = publisher.publish()
    assert again.committed is not landed and again.tagged
    assert publisher.is_whole() and publisher.commits() == 2


# through xet: the real hf_xet, whose store is a directory -----------------------------------------


@pytest.fixture
def through_xet(xet_hub: LocalHub, stage: Stage) -> Publisher:
    return Publisher(xet_hub, stage)


def test_through_xet_one_commit_and_then_none(through_xet: Publisher) -> None:
    through_xet.hub.fail(*COMMIT, after=True, drop=True)
    published = through_xet.publish()
    assert published.committed and through_xet.is_whole() and through_xet.commits() == 1
    # it did go through xet
    assert through_xet.hub.calls(*XET) and not through_xet.hub.calls(*REQUESTS["upload"])
    through_xet.hub.forget_calls()
    assert not through_xet.publish().committed
    assert len(through_xet.hub.calls()) <= 3 and through_xet.commits() == 1


def test_through_xet_a_refused_upload(through_xet: Publisher) -> None:
    through_xet.hub.fail(*XET, status=403, times=99)
    with pytest.raises(HubPermanentError) as refused:
        through_xet.publish()
    assert refused.value.status == 403
    assert through_xet.hub.files(REPO) == {}
    through_xet.hub.faults.clear()
    through_xet.publish()
    assert through_xet.is_whole() and through_xet.commits() == 1
