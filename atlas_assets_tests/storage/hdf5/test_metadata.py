"""Settings and counts in the metadata, however other programs spell a number."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.masks import ObjectMasksFile
from atlas_assets_tests.storage.defects import attribute, edit_in_place
from atlas_assets_tests.storage.release_files import write_object_masks
from atlas_assets_tests.storage.samples import LAYERS, SETTING, equal, objects

OBJECTS = ObjectMasksFile()


def test_attributes_of_one_element_are_numbers_too(path: Path) -> None:
    """As MATLAB, R and netCDF4 write them."""
    write_object_masks(path, objects())
    with h5py.File(path, "r+") as file:
        attributes = file["metadata"].attrs
        for key in ("epsilon", "consistency_thresh"):
            attributes[key] = np.array([attributes[key]])
        attributes["n_layers"] = np.array([float(LAYERS)])
        attributes["n_pairs"] = float(attributes["n_pairs"])
    read, _ = OBJECTS.read(path, setting=SETTING)
    assert equal(read, objects())


def test_single_precision_attributes_are_the_decimals_they_were_written_as(path: Path) -> None:
    setting = Setting(0.1, 0.8)
    write_object_masks(path, objects(setting))
    single = attribute("consistency_thresh", np.array([0.8], np.float32))
    edit_in_place(path, attribute("epsilon", np.float32(0.1)), single)
    read, _ = OBJECTS.read(path, setting=setting)
    assert read.setting == setting


@pytest.mark.parametrize("value", [np.array([1, 2]), LAYERS + 0.5, -1, "6", np.nan])
def test_what_counts_nothing_is_refused(path: Path, value: object) -> None:
    write_object_masks(path, objects())
    edit_in_place(path, attribute("n_layers", value))
    with pytest.raises(ArtifactError, match="n_layers"):
        OBJECTS.read(path)
