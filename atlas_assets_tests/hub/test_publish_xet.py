"""The same through xet: the real hf_xet, whose store is a directory."""

from __future__ import annotations

import pytest

from atlas_assets.errors import HubPermanentError
from atlas_assets.hub.staging import Stage
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.publishing import REPO, Publisher

_XET_TOKEN = r"/xet-write-token/"


@pytest.fixture
def publisher(xet_hub: LocalHub, stage: Stage) -> Publisher:
    return Publisher(xet_hub, stage)


def test_one_commit_and_then_none(publisher: Publisher) -> None:
    published = publisher.publish()
    assert published.committed and publisher.is_whole() and publisher.commits() == 1
    # it did go through xet
    assert publisher.hub.calls("GET", _XET_TOKEN) and not publisher.hub.calls("PUT", "/_lfs/")
    publisher.hub.forget_calls()
    assert not publisher.publish().committed
    assert len(publisher.hub.calls()) <= 3 and publisher.commits() == 1


def test_a_lost_answer(publisher: Publisher) -> None:
    publisher.hub.fail("POST", "/commit/", after=True, drop=True)
    publisher.publish()
    assert publisher.is_whole() and publisher.commits() == 1


def test_a_refused_upload(publisher: Publisher) -> None:
    publisher.hub.fail("GET", _XET_TOKEN, status=403, times=99)
    with pytest.raises(HubPermanentError) as refused:
        publisher.publish()
    assert refused.value.status == 403
    assert set(publisher.hub.files(REPO)) == set()
    publisher.hub.faults.clear()
    publisher.publish()
    assert publisher.is_whole() and publisher.commits() == 1
