"""A full atlas, to read and to change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.storage.full_store import fill, store_at


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("atlas")
    fill(store_at(folder))
    return folder


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> AtlasStore:
    """A full atlas of its own."""
    folder = tmp_path / "atlas"
    shutil.copytree(filled, folder)
    return store_at(folder)
