"""The local Hub, for tests of what follows a model or publishes."""

from __future__ import annotations

from atlas_assets_tests.hub.conftest import hub

__all__ = ["hub"]
