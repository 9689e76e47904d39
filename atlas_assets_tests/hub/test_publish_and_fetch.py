"""What is published comes back as it was: bytes, and the record of its making."""

from __future__ import annotations

from pathlib import Path

from atlas_assets.atlas.status import survey
from atlas_assets.definitions import build_resources
from atlas_assets.hub.fetch import choose, fetch
from atlas_assets.hub.publish import dry_run
from atlas_assets.hub.source import open_source
from atlas_assets_tests.hub.publishing import REPO, Publisher
from atlas_assets_tests.soundness import sound_atlas


def test_a_fetched_atlas_is_the_published_one(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish()
    settings = sound_atlas.settings_in(tmp_path / "elsewhere")
    store = build_resources(settings)["store"]
    client = publisher.hub.client(tmp_path / "cache")
    source = open_source(client, REPO)
    outcomes = list(fetch(client, source, store, choose(source, [])))
    assert [outcome.error for outcome in outcomes] == [None] * len(outcomes)
    for file in publisher.stage.manifest.files:
        if file.made_from is None:
            assert (store.root / file.path).read_bytes() == publisher.hub.files(REPO)[file.path]
    fresh = {state.artifact for state in survey(store) if state.state == "fresh"}
    assert fresh == {file.asset for file in publisher.stage.manifest.files}
    # and so it is the same version: nothing is to be committed
    again = dry_run(store, settings, REPO, client)
    assert again.plan.changes == () and again.plan.version == publisher.stage.manifest.version
