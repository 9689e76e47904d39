"""What every format gives to whoever reads it: checked digests, of parts too, and the setting."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.storage.masks import CheckerMasksFile
from atlas_assets_tests.storage.defects import OBJECTS, refusing, with_masks

CHECKERS = CheckerMasksFile()
P, U = "pair_masks/layer_3/For__list", "universal_masks/layer_3/ast__For"
METRIC = "metrics/jaccard_ast_matrix"


def change(path: Path, key: str) -> None:
    """Edits one value, as anybody with h5py could."""
    with h5py.File(path, "r+") as file:
        values = file[key][:]
        values.flat[0] = 1 - values.flat[0]
        file[key][:] = values


@pytest.mark.parametrize(
    ("key", "refused", "read"),
    [
        (P, ["layer_3"], ["universal", "layer_0"]),
        (U, ["universal", "layer_3"], ["layer_0"]),
        (METRIC, ["universal", "layer_0", "layer_3"], []),
    ],
)
def test_changed_content_is_noticed_by_whoever_reads_it(
    path: Path, key: str, refused: list[str], read: list[str]
) -> None:
    change(with_masks(path), key)
    for part in (None, *refused):
        with refusing(ArtifactError, "not what was written", path):
            OBJECTS.read(path, part=part)
    for part in read:
        OBJECTS.read(path, part=part)


def test_a_record_without_the_digest_of_a_part_is_refused(path: Path) -> None:
    OBJECTS.read(with_masks(path, parts={}))
    with refusing(ArtifactError, "not what was written", "a digest in its record"):
        OBJECTS.read(path, part="universal")


def test_files_of_format_version_1_are_read_with_their_parts_unverified(path: Path) -> None:
    with_masks(path, parts={}, format_version=1)
    for part in (None, "universal", "layer_3"):
        _, record = OBJECTS.read(path, part=part)
        assert not record.parts_verified
    change(path, P)
    OBJECTS.read(path, part="layer_3")
    with pytest.raises(ArtifactError, match="not what was written"):
        OBJECTS.read(path)


def test_a_record_with_digests_of_parts_is_held_to_them_whatever_its_version(path: Path) -> None:
    change(with_masks(path, format_version=1), U)
    with pytest.raises(ArtifactError, match="not what was written"):
        OBJECTS.read(path, part="universal")


def test_unknown_parts_are_refused(path: Path) -> None:
    with refusing(ArtifactError, "no such part", "'universal'"):
        OBJECTS.read(with_masks(path), part="pairs")
    with pytest.raises(ArtifactError, match="no such part"):
        CHECKERS.read(path, part="universal")
