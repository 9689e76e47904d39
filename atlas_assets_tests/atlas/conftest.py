"""A local Hub, and sample atlases."""

from atlas_assets_tests.hub.conftest import hub
from atlas_assets_tests.sample_atlas import data, made

__all__ = ["data", "hub", "made"]
