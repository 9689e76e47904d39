"""A full atlas, to read and to change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.storage.samples import fill, store_at


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full atlas that is only read."""
    folder = tmp_path_factory.mktemp("atlas")
    fill(store_at(folder))
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where to write a file of masks or activations."""
    return tmp_path / "file.h5"


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> AtlasStore:
    """A full atlas of its own."""
    return store_at(shutil.copytree(filled, tmp_path / "atlas"))
