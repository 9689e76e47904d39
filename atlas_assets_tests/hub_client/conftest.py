"""The local Hub, for tests of the client that talks to it."""

from __future__ import annotations

from atlas_assets_tests.hub.conftest import hub

__all__ = ["hub"]
