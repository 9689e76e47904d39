"""What was published and is fetched elsewhere is the same atlas, its provenance included."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from upath import UPath

from atlas_assets.atlas import open_with_model
from atlas_assets.errors import ArtifactError, ProvenanceError
from atlas_assets.formats.provenance import Lineage
from atlas_assets.formats.store import AtlasStore
from atlas_assets.hub import manifest as manifests
from atlas_assets.hub.fetch import Outcome, choose, fetch
from atlas_assets.hub.source import open_source
from atlas_assets_tests.checks import sound_atlas
from atlas_assets_tests.hub.publishing import REPO, Publisher


@pytest.fixture
def published(publisher: Publisher) -> Publisher:
    publisher.publish()
    return publisher


def fetched(publisher: Publisher, store: AtlasStore, *names: str) -> list[Outcome]:
    client = publisher.hub.client()
    source = open_source(client, REPO)
    return list(fetch(client, source, store, choose(source, names)))


def test_a_published_atlas_is_fetched_as_it_was(published: Publisher, tmp_path: Path) -> None:
    store = open_with_model(sound_atlas.settings_in(tmp_path))
    outcomes = fetched(published, store)
    assert [str(outcome.error) for outcome in outcomes if outcome.error] == []
    records = {file.path: file for file in published.manifest().files}
    names = {name for name, file in records.items() if file.made_from is None}
    assert {part.path for outcome in outcomes for part in outcome.file.files} == names
    for outcome in outcomes:
        key, setting = outcome.file.artifact.key, outcome.file.setting
        expected = records[outcome.file.name].provenance
        assert expected is not None
        assert store.provenance(key, setting) == outcome.provenance == expected
        assert store.stale_reason(key, setting) is None
        store.read(key, setting)
    assert {outcome.state for outcome in fetched(published, store)} == {"unchanged"}


def test_an_atlas_of_other_settings_is_refused(published: Publisher, tmp_path: Path) -> None:
    settings = sound_atlas.settings_in(tmp_path).model_copy(update={"readout": "published"})
    (outcome,) = fetched(published, open_with_model(settings), "summary")
    assert isinstance(outcome.error, ProvenanceError)
    assert "ATLAS_READOUT" in str(outcome.error)
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
    store = AtlasStore(UPath(tmp_path / "atlas"), Lineage)
    (outcome,) = fetched(published, store, "summary")
    assert isinstance(outcome.error, ArtifactError)
    assert "manifest" in str(outcome.error)
    assert not outcome.path.exists()
