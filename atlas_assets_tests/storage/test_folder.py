"""What is found in the folder of an atlas."""

from __future__ import annotations

from pathlib import Path

from upath import UPath

from atlas_assets.storage.folder import file_names, settings_present
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.storage.samples import SWEEP


def test_hidden_files_and_folders_are_left_out(filled: Path) -> None:
    assert file_names(UPath(filled)) == tuple(sorted(p.name for p in filled.iterdir() if p.suffix))
    assert file_names(UPath(filled / "nowhere")) == ()


def test_the_settings_of_an_artifact_are_those_of_its_files(store: AtlasStore) -> None:
    assert settings_present(store.root, "object_masks") == SWEEP
    (store.root / "13_object_masks_eps0.5_cons0.8.h5").unlink()
    (store.root / "13_object_masks_eps0.5_cons0.8.h5.bak").write_bytes(b"")
    assert settings_present(store.root, "object_masks") == SWEEP[:1]
    assert settings_present(store.root, "summary") == ()
