"""A Hub of our own with a tiny model on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from atlas_assets_tests.hub.conftest import only
from atlas_assets_tests.hub.local_hub import LocalHub


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """The only Hub there is for this process."""
    with LocalHub() as running:
        only(running, tmp_path / "hf_home", monkeypatch, xet=False)
        yield running
