"""Publishing to a local Hub: one commit, or none; what it touches and what it leaves alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from atlas_assets.errors import ArtifactError, HubPermanentError, ProvenanceError, SettingsError
from atlas_assets.hub.staging import Stage, staged
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.publishing import (
    HAND_WRITTEN,
    REPO,
    Atlas,
    Publisher,
    Trusting,
    of_another_model,
)


@pytest.fixture(scope="module")
def changed(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The small atlas with another content in one of its tables, staged; nobody changes it."""
    atlas = Atlas.copy_of(sound, tmp_path_factory.mktemp("changed") / "data")
    atlas.rename_a_prompt()
    with staged(atlas.store, atlas.settings) as stage:
        yield stage


def test_everything_is_published_in_one_commit_and_tagged(publisher: Publisher) -> None:
    verifier = Trusting()
    published = publisher.publish(verifier=verifier)
    assert published.committed and published.tagged
    assert publisher.commits() == 1 and publisher.is_whole()
    assert publisher.tags == {published.plan.version: published.sha}
    # checked before anything was uploaded, and again at the commit
    assert verifier.asked == ["folder", published.sha]
    paths = publisher.stage.manifest.paths
    assert set(publisher.hub.files(REPO)) == {*paths, "atlas.json", "README.md"}
    document = json.loads(publisher.hub.files(REPO)["atlas.json"])
    assert document["version"] == publisher.manifest().version
    assert [file["path"] for file in document["files"]] == sorted(paths)
    by_path = {file["path"]: file for file in document["files"]}
    masks = by_path["13_object_masks_eps0.5_cons0.8.h5"]
    assert (masks["asset"], masks["partition"]) == ("object_masks", "0.8|0.5")
    assert masks["provenance"]["inputs"].keys() == {"object_activations"}
    assert by_path["viewer/summary.parquet"]["made_from"] == "14_summary.csv"


def test_an_unchanged_atlas_costs_three_requests_and_no_commit(publisher: Publisher) -> None:
    first = publisher.publish()
    publisher.hub.forget_calls()
    verifier = Trusting()
    again = publisher.publish(verifier=verifier)
    assert len(publisher.hub.calls()) <= 3
    assert (again.sha, again.committed, again.tagged) == (first.sha, False, False)
    assert publisher.commits() == 1 and verifier.asked == []


def test_only_what_differs_is_committed(publisher: Publisher, changed: Stage) -> None:
    publisher.publish()
    publisher.hub.forget_calls()
    published = publisher.publish(changed)
    paths = {change.path for change in published.plan.changes}
    assert {"token_checker_prompts.parquet", "atlas.json", "README.md"} <= paths
    # their masks were made from the prompts before: out of date, so left out and left alone
    assert "token_checker_masks.h5" not in paths
    assert "token_checker_masks.h5" in published.plan.kept
    assert publisher.commits() == 2 and len(publisher.tags) == 2
    (preupload,) = publisher.hub.calls("POST", "/preupload/")
    assert preupload.n_bytes < 3000


def test_what_others_wrote_stays(publisher: Publisher, changed: Stage) -> None:
    hub = publisher.hub
    front = "---\nlicense: mit\n# a comment\nmine: {a: 1}\n---\n"
    hub.push(REPO, {"README.md": (front + HAND_WRITTEN).encode(), "notes.txt": b"ours"})
    publisher.publish()
    card = publisher.card()
    assert card.startswith("---\nlicense: mit\n# a comment\nmine: {a: 1}\n")
    assert HAND_WRITTEN in card
    hub.push(REPO, {"README.md": card.replace("please keep", "and this").encode()})
    hub.push(REPO, {"more/notes.txt": b"theirs"})
    publisher.publish(changed)
    assert "and this" in publisher.card()
    assert hub.files(REPO)["notes.txt"] == b"ours"
    assert hub.files(REPO)["more/notes.txt"] == b"theirs"


def test_of_the_card_only_the_generated_part_is_put_right(publisher: Publisher) -> None:
    first = publisher.publish()
    card = publisher.card()
    edited = card + "\nOne more line.\n"
    publisher.hub.push(REPO, {"README.md": edited.encode()})
    again = publisher.publish()
    assert not again.committed and not again.tagged
    assert again.sha != first.sha  # the head is the other writer's commit, and holds the atlas
    assert publisher.card() == edited
    publisher.hub.push(REPO, {"README.md": card.replace("## Quickstart", "## Q").encode()})
    assert publisher.publish().committed
    assert publisher.card() == card


def test_files_that_are_not_published_now_stay(publisher: Publisher, atlas: Atlas) -> None:
    publisher.publish()
    atlas.rename_a_prompt()
    part = atlas.publish(publisher.hub.client(), cells={("token_checker_prompts", None)})
    paths = {change.path for change in part.plan.changes}
    assert paths == {"token_checker_prompts.parquet", "atlas.json", "README.md"}
    assert len(part.plan.kept) == len(publisher.stage.manifest.paths) - 1
    manifest = publisher.manifest()
    assert manifest.paths == publisher.stage.manifest.paths
    # what was seen of claims in files that are still there is still said
    observed = {claim.id for claim in manifest.claims if claim.observed}
    assert observed == {c.id for c in publisher.stage.manifest.claims if c.observed}
    assert len(observed) > 20
    assert publisher.card().count("config_name: summary") == 2


def test_replace_removes_what_an_earlier_publication_left(
    publisher: Publisher, atlas: Atlas
) -> None:
    publisher.hub.push(REPO, {"notes.txt": b"not ours to remove"})
    publisher.publish()
    part = atlas.publish(publisher.hub.client(), cells={("summary", None)}, replace=True)
    ours = {"14_summary.csv", "viewer/summary.parquet"}
    assert set(part.plan.manifest.paths) == ours
    assert set(publisher.hub.files(REPO)) == ours | {"atlas.json", "README.md", "notes.txt"}


def test_two_atlases_never_mix_in_a_repository(publisher: Publisher, changed: Stage) -> None:
    publisher.publish()
    other = replace(changed, manifest=of_another_model(changed.manifest))
    with pytest.raises(ProvenanceError, match="files of another atlas") as refused:
        publisher.publish(other)
    assert "model.weights_sha256" in str(refused.value) and "--replace" in str(refused.value)
    assert publisher.commits() == 1
    assert publisher.publish(other, replace=True).committed
    assert publisher.manifest() == other.manifest


def test_the_tag_of_a_version_is_never_moved(publisher: Publisher) -> None:
    other = publisher.hub.push(REPO, {"notes.txt": b""})
    version = publisher.stage.manifest.version
    publisher.tags[version] = other
    with pytest.raises(HubPermanentError, match="marks a commit of something else"):
        publisher.publish()
    side = publisher.hub.push(REPO, {"atlas.json": b"{}"}, branch="side")
    publisher.tags[version] = side
    for dry_run in (True, False):
        with pytest.raises(HubPermanentError, match="marks another one"):
            publisher.publish(dry_run=dry_run)
    # noticed before anything was committed
    assert publisher.hub.head(REPO) == other
    assert not publisher.hub.calls("POST", "/preupload/")
    assert publisher.tags == {version: side}


def test_a_version_that_is_published_again_is_checked_again(
    publisher: Publisher, changed: Stage
) -> None:
    first = publisher.publish()
    publisher.publish(changed)
    verifier = Trusting()
    back = publisher.publish(verifier=verifier)
    assert back.committed and not back.tagged and back.loaded > 1
    assert verifier.asked == ["folder", back.sha]
    assert publisher.tags[first.plan.version] == first.sha


def test_a_new_repository_is_private_where_the_setting_says_so(
    publisher: Publisher, atlas: Atlas
) -> None:
    private = replace(atlas, settings=atlas.settings.model_copy(update={"hub_private": True}))
    for of, expected in ((private, True), (atlas, False)):
        of.publish(publisher.hub.client(), cells={("summary", None)})
        assert publisher.hub.repos["dataset", REPO].private is expected
        publisher.hub.repos.clear()


def test_without_a_token_nothing_is_asked(
    hub: LocalHub, atlas: Atlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    client = replace(hub.client(), token=None)
    with pytest.raises(SettingsError, match="no token"):
        atlas.publish(client)
    assert hub.calls() == []
    plan = atlas.publish(client, dry_run=True).plan
    assert plan.parent is None and len(plan.changes) == len(plan.manifest.paths) + 2
    assert hub.repos == {}


def test_a_dry_run_shows_the_commit_and_writes_nothing(publisher: Publisher, atlas: Atlas) -> None:
    client = publisher.hub.client()
    first = publisher.publish()
    assert not publisher.publish(dry_run=True).would_tag
    # only the tag is missing
    del publisher.tags[first.plan.version]
    shown = publisher.publish(dry_run=True)
    assert shown.would_tag and not shown.plan.changes and publisher.tags == {}
    atlas.rename_a_prompt()
    publisher.hub.forget_calls()
    shown = atlas.publish(client, dry_run=True)
    assert shown.sha is None and not shown.committed and shown.would_tag
    assert {call.method for call in publisher.hub.calls()} == {"GET"}
    done = atlas.publish(client)
    assert done.plan.changes == shown.plan.changes
    assert done.plan.version == shown.plan.version


def test_an_atlas_that_is_rebuilt_is_published_as_it_was_staged(
    hub: LocalHub, atlas: Atlas
) -> None:
    """Whatever happens to the atlas meanwhile, what is uploaded is what was found sound."""
    path = atlas.store.path("token_checker_prompts")
    before = path.read_bytes()
    atlas.publish(hub.client(), Trusting(between=lambda _: atlas.rename_a_prompt()))
    assert path.read_bytes() != before
    assert hub.files(REPO)["token_checker_prompts.parquet"] == before


def test_a_copy_that_is_tampered_with_is_not_committed(hub: LocalHub, atlas: Atlas) -> None:
    def tamper(stage: Stage) -> None:
        stage.file("14_summary.csv").write_bytes(b"something else")

    with pytest.raises(ArtifactError, match="changed while it was being published") as refused:
        atlas.publish(hub.client(), Trusting(between=tamper))
    assert refused.value.where == "14_summary.csv"
    assert len(hub.commits(REPO)) == 1
