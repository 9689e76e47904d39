"""Every artifact has the format that its declaration implies; names that are none are refused."""

from __future__ import annotations

import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.artifact import Layout
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.storage.codecs import codec_named
from atlas_assets_tests.storage.samples import sample


@pytest.mark.parametrize("key", sorted(ARTIFACTS))
def test_the_format_is_of_the_declared_kind_and_setting_and_holds_the_value(key: str) -> None:
    artifact, codec, value = ARTIFACTS[key], codec_named(key), sample(key)
    assert codec.kind == artifact.kind
    codec.check(value, where=key)
    if artifact.content in (Layout.UNIVERSAL_MASKS, Layout.JACCARD_MATRICES):
        assert codec.setting_of(value) == artifact.setting


def test_unknown_artifacts_are_named() -> None:
    with pytest.raises(ArtifactError, match="no such artifact") as caught:
        codec_named("object_mask")
    assert "object_masks" in str(caught.value)
