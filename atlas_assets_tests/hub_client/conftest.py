"""The local Hub, for tests of the client that talks to it."""

from __future__ import annotations

import pytest

from atlas_assets_tests.hub.conftest import hub
from atlas_assets_tests.hub.local_hub import LocalHub

REPO = "someone/atlas"

__all__ = ["hub"]


@pytest.fixture
def sha(hub: LocalHub) -> str:
    return hub.push(REPO, {"14_summary.csv": b"a,b\n1,2\n", "folder/masks.h5": b"x" * 5000})
