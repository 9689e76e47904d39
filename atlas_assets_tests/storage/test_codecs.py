"""Names of artifacts that there are not (the formats of those that there are: `test_store`)."""

from __future__ import annotations

from atlas_assets.errors import ArtifactError
from atlas_assets.storage.codecs import codec_named
from atlas_assets_tests.storage.defects import refusing


def test_unknown_artifacts_are_named() -> None:
    with refusing(ArtifactError, "no such artifact", "object_masks"):
        codec_named("object_mask")
