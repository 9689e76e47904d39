"""Files of an atlas that somebody else put there: neither lost nor taken for a part of ours."""

from __future__ import annotations

import pytest

from atlas_assets.errors import ProvenanceError
from atlas_assets.hub.staging import Stage
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.publishing import REPO, Publisher, Trusting


@pytest.fixture
def publisher(hub: LocalHub, few: Stage) -> Publisher:
    """A few files."""
    return Publisher(hub, few)


@pytest.mark.parametrize(
    "path",
    [
        "14_summary.csv",  # it lies where ours is to lie
        "viewer/summary.parquet",
        "tables/14_summary.csv",  # the same name, elsewhere
        "13_object_masks_eps0.5_cons0.8.h5",  # not of this publication
        "old/13_universal_masks_sweep.parquet",
    ],
)
def test_they_are_refused_before_anything_is_written(publisher: Publisher, path: str) -> None:
    before = publisher.hub.push(REPO, {path: b"theirs", "notes.csv": b"no artifact"})
    verifier = Trusting()
    with pytest.raises(ProvenanceError, match="no publication left there") as refused:
        publisher.publish(verifier=verifier)
    assert refused.value.where == path and "--overwrite" in str(refused.value)
    assert publisher.hub.head(REPO) == before and verifier.asked == []
    assert not publisher.hub.calls("POST", "/preupload/")
    published = publisher.publish(overwrite=True)
    assert published.committed and publisher.is_whole()
    if path not in publisher.stage.manifest.paths:
        assert publisher.hub.files(REPO)[path] == b"theirs"


def test_the_same_content_is_no_stranger(publisher: Publisher) -> None:
    """The release's own files, in folders or not, and the head after a lost manifest."""
    summary = publisher.stage.file("14_summary.csv").read_bytes()
    publisher.hub.push(REPO, {"14_summary.csv": summary, "tables/14_summary.csv": summary})
    assert publisher.publish().committed and publisher.is_whole()
    publisher.hub.push(REPO, {}, delete=["atlas.json"])
    assert publisher.publish().committed and publisher.is_whole()


def test_what_an_earlier_publication_left_is_none(
    publisher: Publisher, stage: Stage, few: Stage
) -> None:
    """Not of this publication, changed since, or edited by hand."""
    publisher.publish(stage)
    assert "token_checker_prompts.parquet" in publisher.publish(few).plan.kept
    publisher.hub.push(REPO, {"14_summary.csv": b"edited"})
    assert publisher.publish(few).committed
    assert publisher.hub.files(REPO)["14_summary.csv"] == few.file("14_summary.csv").read_bytes()


def test_one_that_comes_while_we_publish_is_noticed(publisher: Publisher) -> None:
    publisher.hub.push(REPO, {"notes.txt": b"theirs"})

    def meanwhile(_: Stage) -> None:
        publisher.hub.push(REPO, {"14_summary.csv": b"theirs"})

    with pytest.raises(ProvenanceError, match="no publication left there"):
        publisher.publish(verifier=Trusting(between=meanwhile))
    assert publisher.hub.files(REPO)["14_summary.csv"] == b"theirs"
    assert "atlas.json" not in publisher.hub.files(REPO)
