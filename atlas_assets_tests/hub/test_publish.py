"""Publishing to a local Hub: one commit, or none; what it touches and what it leaves alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from atlas_assets.errors import (
    ArtifactError,
    HubPermanentError,
    ProvenanceError,
    SettingsError,
)
from atlas_assets.hub.manifest import Manifest, manifest_of
from atlas_assets.hub.publish import dry_run, publish
from atlas_assets.hub.staging import Stage, staged
from atlas_assets.stages.setting import REFERENCE
from atlas_assets.storage.provenance import Lineage
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.publishing import (
    HAND_WRITTEN,
    REPO,
    Publisher,
    Trusting,
    rename_a_prompt,
    temporary_folders,
)
from atlas_assets_tests.soundness import sound_atlas


def test_everything_is_published_in_one_commit_and_tagged(publisher: Publisher) -> None:
    verifier = Trusting()
    published = publisher.publish(verifier=verifier)
    assert published.committed and published.tagged
    assert publisher.commits() == 1 and publisher.is_whole()
    tags = publisher.hub.repos["dataset", REPO].tags
    assert tags == {published.plan.version: published.sha}
    # checked before anything was uploaded, and again at the commit
    assert verifier.asked == ["folder", published.sha]
    assert set(publisher.hub.files(REPO)) == {
        *publisher.stage.manifest.paths,
        "atlas.json",
        "README.md",
    }


def test_an_unchanged_atlas_costs_three_requests_and_no_commit(publisher: Publisher) -> None:
    first = publisher.publish()
    publisher.hub.forget_calls()
    verifier = Trusting()
    again = publisher.publish(verifier=verifier)
    assert len(publisher.hub.calls()) <= 3
    assert (again.sha, again.committed, again.tagged) == (first.sha, False, False)
    assert publisher.commits() == 1
    assert verifier.asked == []


def test_only_what_differs_is_committed(publisher: Publisher, changed_stage: Stage) -> None:
    publisher.publish()
    publisher.hub.forget_calls()
    published = publisher.publish(changed_stage)
    paths = {change.path for change in published.plan.changes}
    assert "token_checker_prompts.parquet" in paths
    assert {"atlas.json", "README.md"} < paths
    # their masks were made from the prompts before: out of date, so left out and left alone
    assert "token_checker_masks.h5" not in paths
    assert "token_checker_masks.h5" in published.plan.kept
    assert publisher.commits() == 2
    assert len(publisher.hub.repos["dataset", REPO].tags) == 2
    (preupload,) = publisher.hub.calls("POST", "/preupload/")
    assert preupload.n_bytes < 3000


def test_the_manifest_lists_every_file_with_its_making(publisher: Publisher) -> None:
    publisher.publish()
    document = json.loads(publisher.hub.files(REPO)["atlas.json"])
    assert document["version"] == publisher.manifest().version
    assert [file["path"] for file in document["files"]] == sorted(publisher.stage.manifest.paths)
    by_path = {file["path"]: file for file in document["files"]}
    masks = by_path["13_object_masks_eps0.5_cons0.8.h5"]
    assert (masks["asset"], masks["partition"]) == ("object_masks", "0.8|0.5")
    assert masks["provenance"]["inputs"].keys() == {"object_activations"}
    assert by_path["viewer/summary.parquet"]["made_from"] == "14_summary.csv"


def test_what_others_wrote_stays(publisher: Publisher, changed_stage: Stage) -> None:
    hub = publisher.hub
    front = "---\nlicense: mit\n# a comment\nmine: {a: 1}\n---\n"
    hub.push(REPO, {"README.md": (front + HAND_WRITTEN).encode(), "notes.txt": b"ours"})
    publisher.publish()
    card = publisher.card()
    assert card.startswith("---\nlicense: mit\n# a comment\nmine: {a: 1}\n")
    assert HAND_WRITTEN in card
    hub.push(REPO, {"README.md": card.replace("please keep", "and this").encode()})
    hub.push(REPO, {"more/notes.txt": b"theirs"})
    publisher.publish(changed_stage)
    assert "and this" in publisher.card()
    assert hub.files(REPO)["notes.txt"] == b"ours"
    assert hub.files(REPO)["more/notes.txt"] == b"theirs"


def test_a_hand_edited_card_alone_is_no_reason_to_commit(publisher: Publisher) -> None:
    first = publisher.publish()
    edited = publisher.card() + "\nOne more line.\n"
    publisher.hub.push(REPO, {"README.md": edited.encode()})
    again = publisher.publish()
    assert not again.committed and not again.tagged
    assert again.sha != first.sha  # the head is the other writer's commit, and holds the atlas
    assert publisher.card() == edited


def test_a_damaged_generated_part_is_put_right(publisher: Publisher) -> None:
    publisher.publish()
    card = publisher.card()
    publisher.hub.push(REPO, {"README.md": card.replace("## Quickstart", "## Q").encode()})
    assert publisher.publish().committed
    assert publisher.card() == card


def test_files_that_are_not_published_now_stay(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish()
    store, settings = sound_atlas.make(tmp_path), sound_atlas.settings_in(tmp_path)
    rename_a_prompt(store)
    options = {"cells": {("token_checker_prompts", None)}, "verifier": Trusting()}
    part = publish(store, settings, REPO, publisher.hub.client(), **options)
    changed = {change.path for change in part.plan.changes}
    assert changed == {"token_checker_prompts.parquet", "atlas.json", "README.md"}
    assert len(part.plan.kept) == len(publisher.stage.manifest.paths) - 1
    manifest = publisher.manifest()
    assert manifest.paths == publisher.stage.manifest.paths
    # what was seen of claims in files that are still there is still said
    observed = {claim.id for claim in manifest.claims if claim.observed}
    assert observed == {c.id for c in publisher.stage.manifest.claims if c.observed}
    assert len(observed) > 20
    assert publisher.card().count("config_name: summary") == 2


def test_replace_removes_what_an_earlier_publication_left(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.hub.push(REPO, {"notes.txt": b"not ours to remove"})
    publisher.publish()
    store, settings = sound_atlas.make(tmp_path), sound_atlas.settings_in(tmp_path)
    options = {"cells": {("summary", None)}, "verifier": Trusting(), "replace": True}
    part = publish(store, settings, REPO, publisher.hub.client(), **options)
    assert {"14_summary.csv", "viewer/summary.parquet"} == set(part.plan.manifest.paths)
    assert set(publisher.hub.files(REPO)) == {
        *part.plan.manifest.paths,
        "atlas.json",
        "README.md",
        "notes.txt",
    }


def test_two_atlases_never_mix_in_a_repository(publisher: Publisher, changed_stage: Stage) -> None:
    publisher.publish()
    other = _of_another_model(changed_stage)
    with pytest.raises(ProvenanceError, match="files of another atlas") as refused:
        publisher.publish(other)
    assert "model.weights_sha256" in str(refused.value) and "--replace" in str(refused.value)
    assert publisher.commits() == 1
    assert publisher.publish(other, replace=True).committed
    assert publisher.manifest() == other.manifest


def test_the_tag_of_a_version_is_never_moved(publisher: Publisher) -> None:
    other = publisher.hub.push(REPO, {"notes.txt": b""})
    version = publisher.stage.manifest.version
    publisher.hub.repos["dataset", REPO].tags[version] = other
    with pytest.raises(HubPermanentError, match="marks a commit of something else"):
        publisher.publish()
    side = publisher.hub.push(REPO, {"atlas.json": b"{}"}, branch="side")
    publisher.hub.repos["dataset", REPO].tags[version] = side
    with pytest.raises(HubPermanentError, match="marks another one"):
        publisher.publish()
    # noticed before anything was committed
    assert publisher.hub.head(REPO) == other
    assert not publisher.hub.calls("POST", "/preupload/")
    assert publisher.hub.repos["dataset", REPO].tags == {version: side}


def test_a_version_that_is_published_again_is_checked_again(
    publisher: Publisher, changed_stage: Stage
) -> None:
    first = publisher.publish()
    publisher.publish(changed_stage)
    verifier = Trusting()
    back = publisher.publish(verifier=verifier)
    assert back.committed and not back.tagged and back.loaded > 1
    assert verifier.asked == ["folder", back.sha]
    assert publisher.hub.repos["dataset", REPO].tags[first.plan.version] == first.sha


def test_a_new_repository_is_private_where_the_setting_says_so(hub: LocalHub, stage: Stage) -> None:
    Publisher(hub, stage).publish(private=True)
    assert hub.repos["dataset", REPO].private
    hub.repos.clear()
    Publisher(hub, stage).publish()
    assert not hub.repos["dataset", REPO].private


def test_what_is_not_fit_is_left_out_with_its_reason(hub: LocalHub, tmp_path: Path) -> None:
    store, settings = sound_atlas.make(tmp_path), sound_atlas.settings_in(tmp_path)
    rename_a_prompt(store)
    with store.path("modularity_scores").open("ab") as file:
        file.write(b"ast__While,ast,0,0,0,0\n")
    before = temporary_folders()
    options = {"verifier": Trusting()}
    published = publish(store, settings, REPO, hub.client(), **options)
    assert temporary_folders() <= before
    reasons = {file.name: file.reason for file in published.left_out if file.present}
    assert reasons.keys() == {"token_checker_masks.h5", "relaxed_modularity_scores.csv"}
    assert "token_checker_prompts has changed since" in reasons["token_checker_masks.h5"]
    assert "edited after it was written" in reasons["relaxed_modularity_scores.csv"]
    assert str(tmp_path) not in str(reasons) and "atlas-publish-" not in str(reasons)
    assert not set(reasons) & set(hub.files(REPO))
    missing = {file.name for file in published.left_out if not file.present}
    assert "claims.md" in missing


def test_an_atlas_without_a_sound_file_is_refused(hub: LocalHub, tmp_path: Path) -> None:
    store, settings = sound_atlas.make(tmp_path), sound_atlas.settings_in(tmp_path)
    store.path("summary").write_bytes(b"damaged")
    options = {"cells": {("summary", None)}, "verifier": Trusting()}
    with pytest.raises(ArtifactError, match="nothing to publish"):
        publish(store, settings, REPO, hub.client(), **options)
    assert hub.calls() == []


def test_without_a_token_nothing_is_asked(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    store, settings = sound_atlas.make(tmp_path), sound_atlas.settings_in(tmp_path)
    client = replace(hub.client(), token=None)
    with pytest.raises(SettingsError, match="no token"):
        publish(store, settings, REPO, client, verifier=Trusting())
    shown = dry_run(store, settings, REPO, client)
    assert (
        shown.plan.parent is None and len(shown.plan.changes) == len(shown.plan.manifest.paths) + 2
    )
    assert hub.repos == {}


def test_a_dry_run_shows_the_commit_and_writes_nothing(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.publish()
    store, settings = sound_atlas.make(tmp_path), sound_atlas.settings_in(tmp_path)
    rename_a_prompt(store)
    publisher.hub.forget_calls()
    shown = dry_run(store, settings, REPO, publisher.hub.client())
    assert shown.sha is None and not shown.committed
    writing = [call for call in publisher.hub.calls() if call.method != "GET"]
    assert all("/paths-info/" in call.path for call in writing)
    assert shown.would_tag
    done = publish(store, settings, REPO, publisher.hub.client(), verifier=Trusting())
    assert done.plan.changes == shown.plan.changes
    assert done.plan.version == shown.plan.version


def test_a_dry_run_looks_at_the_tag(publisher: Publisher, tmp_path: Path) -> None:
    store, settings = sound_atlas.make(tmp_path), sound_atlas.settings_in(tmp_path)
    client = publisher.hub.client()
    publisher.publish()
    assert not dry_run(store, settings, REPO, client).would_tag
    tags = publisher.hub.repos["dataset", REPO].tags
    (version,) = tags
    del tags[version]
    shown = dry_run(store, settings, REPO, client)
    assert shown.would_tag and not shown.plan.changes and tags == {}
    tags[version] = publisher.hub.push(REPO, {"atlas.json": b"{}"}, branch="side")
    with pytest.raises(HubPermanentError, match="marks another one"):
        dry_run(store, settings, REPO, client)


def test_a_folder_in_the_place_of_a_file(hub: LocalHub, tmp_path: Path) -> None:
    store, settings = sound_atlas.make(tmp_path), sound_atlas.settings_in(tmp_path)
    folder = Path(str(store.path("claims_report")))
    folder.mkdir()
    with pytest.raises(ArtifactError, match="cannot copy a file of the atlas") as refused:
        publish(store, settings, REPO, hub.client(), verifier=Trusting())
    assert refused.value.where == str(folder) and refused.value.found == "a folder"
    assert hub.calls() == []


def test_an_atlas_that_is_rebuilt_is_published_as_it_was_staged(
    hub: LocalHub, tmp_path: Path
) -> None:
    """Whatever happens to the atlas meanwhile, what is uploaded is what was found sound."""
    store, settings = sound_atlas.make(tmp_path), sound_atlas.settings_in(tmp_path)
    path = store.path("token_checker_prompts")
    before = path.read_bytes()
    verifier = Trusting(between=lambda _: rename_a_prompt(store))
    publish(store, settings, REPO, hub.client(), verifier=verifier)
    assert path.read_bytes() != before
    assert hub.files(REPO)["token_checker_prompts.parquet"] == before
    again = publish(store, settings, REPO, hub.client(), verifier=Trusting())
    assert hub.files(REPO)["token_checker_prompts.parquet"] == path.read_bytes()
    assert again.committed


def test_a_copy_that_is_tampered_with_is_not_committed(hub: LocalHub, tmp_path: Path) -> None:
    store, settings = sound_atlas.make(tmp_path), sound_atlas.settings_in(tmp_path)

    def tamper(stage: Stage) -> None:
        stage.file("14_summary.csv").write_bytes(b"something else")

    with pytest.raises(ArtifactError, match="changed while it was being published") as refused:
        publish(store, settings, REPO, hub.client(), verifier=Trusting(between=tamper))
    assert refused.value.where == "14_summary.csv"
    assert len(hub.commits(REPO)) == 1


def test_a_setting_off_the_sweep_is_not_published(hub: LocalHub, tmp_path: Path) -> None:
    store = sound_atlas.make(tmp_path)
    settings = sound_atlas.settings_in(tmp_path, epsilons="0.5", consistencies="0.8")
    with staged(replace(store, sweep=settings.sweep), settings) as stage:
        published = {f.partition for f in stage.manifest.files if f.asset == "object_masks"}
        left = {file.name: file.reason for file in stage.left_out if file.asset == "object_masks"}
    assert published == {"0.8|0.5"}
    assert set(left.values()) == {"its setting is not in the sweep"} and len(left) == 3
    assert REFERENCE in settings.sweep


def test_staging_twice_gives_the_same_bytes(stage: Stage, tmp_path: Path) -> None:
    store, settings = sound_atlas.make(tmp_path), sound_atlas.settings_in(tmp_path)
    with staged(store, settings) as again:
        assert again.manifest.to_bytes() == stage.manifest.to_bytes()
        assert again.rows == stage.rows


def _of_another_model(stage: Stage) -> Stage:
    """The stage as if its files were made with other weights."""
    files = []
    for file in stage.manifest.files:
        record = file.provenance
        if record is not None:
            lineage = record.lineage or Lineage()
            assert lineage.model is not None
            model = lineage.model.model_copy(update={"weights_sha256": "b" * 64})
            lineage = lineage.model_copy(update={"model": model})
            record = record.model_copy(update={"lineage": lineage})
        files.append(file.model_copy(update={"provenance": record}))
    manifest: Manifest = manifest_of(files, stage.manifest.facts, stage.manifest.claims)
    return replace(stage, manifest=manifest)


def test_a_check_that_compared_nothing_is_named(tmp_path: Path, stage: Stage) -> None:
    assert stage.not_compared == ()
    store = sound_atlas.make(tmp_path)
    store.path("object_prompts").unlink()
    with staged(store, sound_atlas.settings_in(tmp_path)) as without:
        published = {record.path for record in without.manifest.files}
        assert without.not_compared
        for check in without.not_compared:
            assert check.name in published and check.check
            assert check.reason.startswith("not compared: ")
            assert str(without.folder) not in check.reason
