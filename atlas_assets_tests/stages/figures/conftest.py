"""The captions that the figures of these tests have."""

from __future__ import annotations

import pytest

from atlas_assets.stages.figures.caption import Caption
from atlas_assets.stages.setting import REFERENCE
from atlas_assets_tests.stages.figures import synthetic


@pytest.fixture(scope="session")
def caption() -> Caption:
    return synthetic.CAPTION


@pytest.fixture(scope="session")
def long_caption() -> Caption:
    """A model in a folder whose path is wider than a column, and a note."""
    path = "/home/someone/models/a-very-long-folder-name/with/$HOME/in/it/checkpoint-000123"
    return Caption(path, "published", REFERENCE, "On a cut grid of the published stimuli.")
