"""What files are about, and whether the paper's claims are about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas_assets.atlas.open import open_folder
from atlas_assets.definitions import build_resources
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.subject import FROZEN, subject_of, subject_of_atlas
from atlas_assets.stages.report.published_claims import PAPER_MODEL
from atlas_assets.stages.setting import REFERENCE
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.soundness import sound_atlas
from atlas_assets_tests.storage import release_files


def test_tables_made_from_the_release_are_claimed_unless_another_model_took_part(
    sound: Path, tmp_path: Path
) -> None:
    settings = sound_atlas.settings_in(tmp_path, name="mixed")
    store: AtlasStore = build_resources(settings)["store"]
    made = open_folder(sound / sound_atlas.NAME)
    (tmp_path / "mixed").mkdir()
    for setting in made.sweep:
        masks, checkers = made.read("object_masks", setting), made.read("checker_masks", setting)
        release_files.write_object_masks(Path(str(store.path("object_masks", setting))), masks)
        release_files.write_checker_masks(Path(str(store.path("checker_masks", setting))), checkers)
        release_files.note_fetched(tmp_path / "mixed")
        store.write("target_checker", made.read("target_checker", setting), setting)
    cells = [("target_checker", REFERENCE)]
    assert subject_of(store, cells) == FROZEN
    assert subject_of_atlas(store, settings) == FROZEN
    # the same with checker masks of the embedded model
    store.write("checker_activations", made.read("checker_activations"), inputs={})
    Path(str(store.path("checker_masks", REFERENCE))).unlink()
    store.write("checker_masks", made.read("checker_masks", REFERENCE), REFERENCE)
    store.write("target_checker", made.read("target_checker", REFERENCE), REFERENCE)
    mixed = subject_of(store, cells)
    assert not mixed.claimed
    assert "embedded" in mixed.model
    assert PAPER_MODEL in mixed.model
    assert subject_of_atlas(store, settings).claimed


@pytest.mark.parametrize(
    ("changes", "claimed"),
    [
        ({"model": PAPER_MODEL}, True),
        ({"model": PAPER_MODEL, "readout": "published"}, True),
        ({"model": PAPER_MODEL, "ast_nodes": "For"}, False),
        ({"model": PAPER_MODEL, "builtins": "len"}, False),
        ({"model": PAPER_MODEL, "variations": 49}, False),
        ({"model": PAPER_MODEL, "loss_threshold": 3.0}, True),
        ({"model": PAPER_MODEL, "loss_threshold": 4.0}, False),
        ({}, False),
    ],
)
def test_without_any_file_the_settings_say_what_the_atlas_would_be(
    changes: dict[str, str], claimed: bool, tmp_path: Path
) -> None:
    settings = AtlasSettings.build(data_dir=str(tmp_path), **changes)
    store: AtlasStore = build_resources(settings)["store"]
    subject = subject_of_atlas(store, settings)
    assert subject.claimed is claimed
    assert subject.readout == settings.readout
