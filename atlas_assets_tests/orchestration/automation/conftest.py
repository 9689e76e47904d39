"""The local Hub and a sound atlas, for tests of what follows a model or publishes."""

from __future__ import annotations

from atlas_assets_tests.hub.conftest import hub, sound

__all__ = ["hub", "sound"]
