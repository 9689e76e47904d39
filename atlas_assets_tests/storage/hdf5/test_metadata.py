"""Settings and counts in the metadata, however other programs spell a number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.masks import ObjectMasksFile
from atlas_assets_tests.storage.defects import attribute, edit_in_place
from atlas_assets_tests.storage.release_files import write_object_masks
from atlas_assets_tests.storage.samples import LAYERS, PAIRS, equal, objects

OBJECTS = ObjectMasksFile()


def test_attributes_of_one_element_and_of_single_precision_are_numbers_too(path: Path) -> None:
    """As MATLAB, R and netCDF4 write them."""
    value = objects(Setting(0.1, 0.8))
    write_object_masks(path, value)
    edits = {
        "epsilon": np.float32(0.1),
        "consistency_thresh": np.array([0.8], np.float32),
        "n_layers": np.array([float(LAYERS)]),
        "n_pairs": float(len(PAIRS)),
    }
    edit_in_place(path, *(attribute(key, number) for key, number in edits.items()))
    read, _ = OBJECTS.read(path, setting=value.setting)
    assert equal(read, value)
    edit_in_place(path, attribute("epsilon", np.array([0.1])))
    assert equal(OBJECTS.read(path)[0], value)


@pytest.mark.parametrize("value", [np.array([1, 2]), LAYERS + 0.5, -1, "6", np.nan])
def test_what_counts_nothing_is_refused(path: Path, value: object) -> None:
    write_object_masks(path, objects())
    edit_in_place(path, attribute("n_layers", value))
    with pytest.raises(ArtifactError, match="n_layers"):
        OBJECTS.read(path)
