"""What was published and is fetched elsewhere is the same atlas, its provenance included."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from upath import UPath

from atlas_assets.atlas.open import open_with_model
from atlas_assets.atlas.status import survey
from atlas_assets.errors import ArtifactError, ProvenanceError
from atlas_assets.hub import manifest as manifests
from atlas_assets.hub.fetch import Outcome, choose, fetch
from atlas_assets.hub.source import open_source
from atlas_assets.storage.provenance import Lineage
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.hub.publishing import REPO, Atlas, Publisher, of_another_model
from atlas_assets_tests.soundness import sound_atlas


@pytest.fixture
def published(publisher: Publisher) -> Publisher:
    publisher.publish()
    return publisher


def fetched(
    publisher: Publisher, store: AtlasStore, *names: str, repo_id: str = REPO
) -> list[Outcome]:
    client = publisher.hub.client()
    source = open_source(client, repo_id)
    return list(fetch(client, source, store, choose(source, names)))


def folder_at(path: Path) -> AtlasStore:
    """A folder of which the settings say nothing."""
    return AtlasStore(UPath(path), Lineage)


def test_a_published_atlas_is_fetched_as_it_was(published: Publisher, tmp_path: Path) -> None:
    settings = sound_atlas.settings_in(tmp_path)
    store = open_with_model(settings)
    outcomes = fetched(published, store)
    assert [str(outcome.error) for outcome in outcomes if outcome.error] == []
    records = {file.path: file for file in published.manifest().files}
    names = {name for name, file in records.items() if file.made_from is None}
    assert {part.path for outcome in outcomes for part in outcome.file.files} == names
    for name in names:
        assert (store.root / name).read_bytes() == published.hub.files(REPO)[name]
    for outcome in outcomes:
        key, setting = outcome.file.artifact.key, outcome.file.setting
        expected = records[outcome.file.name].provenance
        assert expected is not None
        assert store.provenance(key, setting) == outcome.provenance == expected
        assert store.stale_reason(key, setting) is None
        store.read(key, setting)
    fresh = {state.artifact for state in survey(store) if state.state == "fresh"}
    assert fresh == {file.asset for file in records.values()}
    assert {outcome.state for outcome in fetched(published, store)} == {"unchanged"}
    # and so it is the same version: nothing is to be committed
    again = Atlas(store, settings).publish(published.hub.client(), dry_run=True)
    assert again.plan.changes == () and again.plan.version == published.manifest().version


def test_an_atlas_of_other_settings_is_refused(published: Publisher, tmp_path: Path) -> None:
    settings = sound_atlas.settings_in(tmp_path).model_copy(update={"readout": "published"})
    store = open_with_model(settings)
    published.hub.forget_calls()
    with pytest.raises(ProvenanceError, match="set ATLAS_READOUT=last_token; or") as caught:
        fetched(published, store)
    assert "--into" in str(caught.value)
    assert "remove it" not in str(caught.value)
    assert not store.root.exists()
    # what the manifest says is enough: nothing else was downloaded
    assert {call.path.rpartition("/")[2] for call in published.hub.calls("HEAD")} <= {"atlas.json"}


def test_without_a_manifest_the_files_say_what_they_are_about(
    published: Publisher, tmp_path: Path
) -> None:
    published.hub.push(REPO, {}, delete=[manifests.NAME])
    settings = sound_atlas.settings_in(tmp_path).model_copy(update={"variations": 7})
    (outcome,) = fetched(published, open_with_model(settings), "object_prompts")
    assert isinstance(outcome.error, ProvenanceError)
    assert "set ATLAS_VARIATIONS=" in str(outcome.error)
    assert "remove it" not in str(outcome.error)
    assert not outcome.path.exists()


def test_a_table_that_its_manifest_does_not_speak_of(published: Publisher, tmp_path: Path) -> None:
    """Rows changed on the Hub, with the digest in the manifest, but not with its record."""
    hub, name = published.hub, "14_summary.csv"
    changed = hub.files(REPO)[name].replace(b"0.8", b"0.9")
    records = [
        file.model_copy(update={"sha256": hashlib.sha256(changed).hexdigest()})
        if file.path == name
        else file
        for file in published.manifest().files
    ]
    told = published.manifest().model_copy(update={"files": tuple(records)})
    hub.push(REPO, {name: changed, manifests.NAME: told.to_bytes()})
    (outcome,) = fetched(published, folder_at(tmp_path / "atlas"), "summary")
    assert isinstance(outcome.error, ArtifactError)
    assert "manifest" in str(outcome.error)
    assert not outcome.path.exists()


def test_two_atlases_do_not_mix_in_a_folder_that_is_named(
    published: Publisher, tmp_path: Path
) -> None:
    folder, hub = tmp_path / "mix", published.hub
    fetched(published, folder_at(folder))
    for name in ("14_summary.csv", "token_checker_masks.h5"):
        (folder / name).unlink()
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    told = of_another_model(published.manifest()).to_bytes()
    hub.push("me/m2", {**hub.files(REPO), manifests.NAME: told})
    for names in (("summary", "token_checker_masks"), ()):
        with pytest.raises(ProvenanceError, match="would mix") as caught:
            fetched(published, folder_at(folder), *names, repo_id="me/m2")
        assert "model.model_id = embedded" in str(caught.value.expected)
        assert "model.model_id = other" in str(caught.value.found)
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert after == before
    elsewhere = fetched(published, folder_at(tmp_path / "empty"), repo_id="me/m2")
    assert {outcome.state for outcome in elsewhere} == {"fetched"}
    # what is missing of the same atlas is welcome
    states = [outcome.state for outcome in fetched(published, folder_at(folder))]
    assert states.count("fetched") == 2 and states.count("failed") == 0
