"""The local Hub, for tests of what follows a model, fetches or publishes."""

from __future__ import annotations

from atlas_assets_tests.hub.conftest import hub, release, sha

__all__ = ["hub", "release", "sha"]
