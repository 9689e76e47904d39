"""Dagster instances and a store for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.orchestration.io_managers.graphs import store_at


@pytest.fixture
def instance_on_disk(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """As a user has it."""
    home = tmp_path / "dagster"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        yield instance


@pytest.fixture
def store(tmp_path: Path) -> AtlasStore:
    return store_at(tmp_path / "atlas")
