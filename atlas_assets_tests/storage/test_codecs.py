"""What is no artifact, or no file of one (the formats of those that are: `test_store`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.storage.codecs import codec_named
from atlas_assets_tests.storage.defects import refusing


def test_unknown_artifacts_are_named() -> None:
    with refusing(ArtifactError, "no such artifact", "object_masks"):
        codec_named("object_mask")


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_pointer_of_git_lfs_is_no_file(tmp_path: Path, as_bytes: bool) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    for key, artifact in ARTIFACTS.items():
        path = tmp_path / artifact.filename
        path.write_bytes(pointer)
        with refusing(ArtifactError, "only its pointer is there", "git lfs pull"):
            codec_named(key).read(pointer if as_bytes else path)
