"""The networks here are as small as those of the extraction's tests."""

from __future__ import annotations

from atlas_assets_tests.extraction.conftest import one_thread as one_thread
