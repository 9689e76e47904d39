"""Settings of which no atlas can come are refused; most of it is tried of `atlas build`."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas_assets.atlas.buildable import require_buildable
from atlas_assets.errors import ArtifactError, ModelError, SettingsError
from atlas_assets.models.sources import local_folder
from atlas_assets.settings import AtlasSettings


def test_what_can_be_built_is_let_through_and_leaves_nothing_but_a_folder(tmp_path: Path) -> None:
    require_buildable(AtlasSettings(data_dir=str(tmp_path / "data"), device="cpu"))
    assert list((tmp_path / "data").iterdir()) == []


def test_a_source_is_built_with_its_own_model_alone(tmp_path: Path) -> None:
    given = {"data_dir": str(tmp_path), "hub_source": "owner/atlas"}
    with pytest.raises(SettingsError, match="one to be fetched"):
        require_buildable(AtlasSettings(**given))
    require_buildable(AtlasSettings(**given, model=str(local_folder("embedded"))))


def test_a_folder_without_weights_is_no_model(tmp_path: Path) -> None:
    embedded = local_folder("embedded")
    assert embedded is not None
    (tmp_path / "config.json").write_bytes((embedded / "config.json").read_bytes())
    with pytest.raises(ModelError, match="no safetensors weights"):
        require_buildable(AtlasSettings(data_dir=str(tmp_path / "data"), model=str(tmp_path)))


def test_no_folder_can_be_made_there() -> None:
    with pytest.raises(ArtifactError, match="cannot write the atlas"):
        require_buildable(AtlasSettings(data_dir="/proc/atlases"))
