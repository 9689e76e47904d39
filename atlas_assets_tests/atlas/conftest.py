"""The local Hub, for tests of versions that are followed."""

from __future__ import annotations

from atlas_assets_tests.hub.conftest import hub

__all__ = ["hub"]
