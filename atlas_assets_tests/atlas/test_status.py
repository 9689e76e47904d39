"""The state of every file of an atlas."""

from __future__ import annotations

from pathlib import Path

from atlas_assets.atlas.open import (
    open_folder,
    open_with_model,
)
from atlas_assets.atlas.status import FileState, other_files, survey
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.masks.masks import object_masks
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests import sample_atlas
from atlas_assets_tests.storage import release_files, samples

ONE, OTHER = Setting(0.1, 0.8), Setting(0.5, 0.8)


def store_in(data: Path, **changes: object) -> AtlasStore:
    return open_with_model(sample_atlas.settings_in(data, **changes))


def states(store: AtlasStore, **options: bool) -> dict[tuple[str, Setting | None], FileState]:
    return {(s.artifact, s.setting): s for s in survey(store, **options)}


def test_every_artifact_and_cell_has_a_state(data: Path) -> None:
    found = states(store_in(data))
    cells = {
        (key, setting)
        for key, artifact in ARTIFACTS.items()
        for setting in ((ONE, OTHER) if artifact.partitioned else (None,))
    }
    assert set(found) == cells
    fresh = found["object_masks", OTHER]
    assert (fresh.state, fresh.reason, fresh.origin) == ("fresh", None, "atlas")
    assert fresh.size_bytes == Path(str(fresh.path)).stat().st_size
    assert fresh.provenance is not None
    assert fresh.on_grid
    missing = found["token_checker_prompts", None]
    assert (missing.state, missing.size_bytes, missing.origin) == ("missing", None, None)


def test_what_follows_from_changed_activations_is_stale(data: Path) -> None:
    store = store_in(data)
    store.write("object_activations", samples.activations(seed=9))
    found = states(store)
    assert found["object_masks", ONE].state == "stale"
    assert found["object_masks", ONE].reason == "object_activations has changed since"
    assert found["checker_masks", ONE].state == "fresh"


def test_other_settings_make_it_stale_and_say_which(data: Path) -> None:
    found = states(store_in(data, dtype="float16"))
    state = found["summary", None]
    assert state.state == "stale"
    assert "dtype = float32, now float16" in str(state.reason)


def test_a_damaged_file_is_reported_and_the_rest_is_surveyed(data: Path) -> None:
    store = store_in(data)
    path = data / sample_atlas.NAME / "12_object_activations.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
    found = states(store)
    state = found["object_activations", None]
    assert state.state == "damaged"
    assert str(path) in str(state.reason)
    assert state.size_bytes == 108
    dependent = found["object_masks", ONE]
    assert dependent.state == "stale"
    assert str(dependent.reason).startswith("an input is damaged")
    assert found["checker_masks", ONE].state == "fresh"


def test_an_edited_table_is_damaged(data: Path) -> None:
    path = data / sample_atlas.NAME / "14_summary.csv"
    path.write_text(path.read_text().replace("0.8", "0.7"))
    state = states(store_in(data))["summary", None]
    assert state.state == "damaged"
    assert "edited" in str(state.reason)


def test_content_that_was_changed_is_found_when_verifying(data: Path) -> None:
    import h5py

    path = data / sample_atlas.NAME / "13_object_masks_eps0.5_cons0.8.h5"
    with h5py.File(path, "r+") as file:
        dataset = file["pair_masks/layer_1/For__len"]
        dataset[...] = ~dataset[:]
    assert states(store_in(data))["object_masks", OTHER].state == "fresh"
    state = states(store_in(data), verify=True)["object_masks", OTHER]
    assert state.state == "damaged"
    assert "content is not what was written" in str(state.reason)


def test_files_of_the_release_are_fresh(tmp_path: Path) -> None:
    path = tmp_path / "13_object_masks_eps0.5_cons0.8.h5"
    release_files.write_object_masks(path, samples.objects(OTHER))
    state = states(open_folder(tmp_path))["object_masks", OTHER]
    assert (state.state, state.origin, state.provenance) == ("fresh", "release", None)


def test_settings_off_the_grid_and_foreign_files_are_listed(data: Path) -> None:
    store = store_in(data)
    off = Setting(0.3, 0.6)
    store.write("object_masks", object_masks(samples.activations(), off), off)
    (data / sample_atlas.NAME / "notes.txt").write_text("mine")
    (data / sample_atlas.NAME / "13_object_masks_eps0.50_cons0.8.h5").write_bytes(b"")
    found = states(store)
    assert not found["object_masks", off].on_grid
    assert found["object_masks", off].state == "fresh"
    assert ("checker_masks", off) not in found
    assert other_files(store) == ["13_object_masks_eps0.50_cons0.8.h5", "notes.txt"]
