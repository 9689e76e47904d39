"""What every format gives to whoever reads it: checked digests, of parts too, and the setting."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.masks import CheckerMasksFile, ObjectMasksFile
from atlas_assets_tests.storage.samples import SETTING, objects, record_of

OBJECTS, CHECKERS = ObjectMasksFile(), CheckerMasksFile()
P, U = "pair_masks/layer_3/For__list", "universal_masks/layer_3/ast__For"
METRIC = "metrics/jaccard_ast_matrix"


def written(path: Path, **fields: object) -> Path:
    """A file whose record has these fields besides those that it should have."""
    OBJECTS.write(path, objects(), record_of(OBJECTS, objects(), **fields))
    return path


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
    change(written(path), key)
    for part in (None, *refused):
        with pytest.raises(ArtifactError, match="not what was written") as caught:
            OBJECTS.read(path, part=part)
        assert str(path) in str(caught.value.where)
    for part in read:
        OBJECTS.read(path, part=part)


def test_a_record_without_the_digest_of_a_part_is_refused(path: Path) -> None:
    OBJECTS.read(written(path, parts={}))
    with pytest.raises(ArtifactError, match="not what was written") as caught:
        OBJECTS.read(path, part="universal")
    assert "a digest in its record" in str(caught.value.expected)


def test_files_of_format_version_1_are_read_with_their_parts_unverified(path: Path) -> None:
    written(path, parts={}, format_version=1)
    for part in (None, "universal", "layer_3"):
        _, record = OBJECTS.read(path, part=part)
        assert record is not None
        assert not record.parts_verified
    change(path, P)
    OBJECTS.read(path, part="layer_3")
    with pytest.raises(ArtifactError, match="not what was written"):
        OBJECTS.read(path)


def test_a_record_with_digests_of_parts_is_held_to_them_whatever_its_version(path: Path) -> None:
    change(written(path, format_version=1), U)
    with pytest.raises(ArtifactError, match="not what was written"):
        OBJECTS.read(path, part="universal")


def test_the_setting_inside_must_be_the_one_asked_for(path: Path) -> None:
    OBJECTS.read(written(path), setting=SETTING)
    with pytest.raises(ArtifactError) as caught:
        OBJECTS.read(path, setting=Setting(0.1, 0.8))
    assert str(path) in str(caught.value)
    assert caught.value.expected == "ε=0.1, C=0.8"
    assert caught.value.found == "ε=0.5, C=0.8"


def test_unknown_parts_are_refused(path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such part") as caught:
        OBJECTS.read(written(path), part="pairs")
    assert "'universal'" in str(caught.value.expected)
    with pytest.raises(ArtifactError, match="no such part"):
        CHECKERS.read(path, part="universal")
