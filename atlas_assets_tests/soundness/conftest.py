"""An atlas without a fault, and a copy of it to change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from atlas_assets.definitions import build_resources
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.soundness import sound_atlas


@pytest.fixture
def store(sound: Path, tmp_path: Path) -> AtlasStore:
    shutil.copytree(sound, tmp_path / "data")
    found: AtlasStore = build_resources(sound_atlas.settings_in(tmp_path / "data"))["store"]
    return found
