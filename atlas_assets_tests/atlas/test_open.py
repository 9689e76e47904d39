"""Which files an atlas opens, and what they must be about, with and without the model at hand."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest
from upath import UPath

from atlas_assets.atlas.open import open_folder, open_in_force, open_with_model, require_file
from atlas_assets.atlas.versions import folder_in_force
from atlas_assets.errors import MissingArtifactError, ProvenanceError
from atlas_assets.stages.masks.masks import object_masks
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests import sample_atlas
from atlas_assets_tests.storage import samples

SHA = "0123456789abcdef0123456789abcdef01234567"


def store_in(data: Path, **changes: object) -> AtlasStore:
    return open_with_model(sample_atlas.settings_in(data, **changes))


@pytest.mark.parametrize(
    ("revision", "expected"), [(None, None), ("main", None), ("v1.2", None), (SHA, SHA)]
)
def test_a_hub_model_that_is_not_here_is_never_fetched_and_compared_by_a_full_sha_alone(
    revision: str | None,
    expected: str | None,
    caplog: pytest.LogCaptureFixture,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    store = store_in(data, model="nobody/no-such-model", model_revision=revision)
    with caplog.at_level(logging.WARNING):
        model = store.expected().model
    assert model is not None
    assert (model.model_id, model.revision) == ("nobody/no-such-model", expected)
    assert "the model cannot be read" in caplog.text
    told = "model.model_id = embedded, now nobody/no-such-model"
    assert told in str(store.stale_reason("summary"))


ONE, OTHER = Setting(0.1, 0.8), Setting(0.5, 0.8)


def test_opening_compares_the_model_by_name_unless_asked(data: Path) -> None:
    settings = sample_atlas.settings_in(data)
    assert folder_in_force(settings) == UPath(data / sample_atlas.NAME)
    by_name = open_in_force(settings).expected()
    assert by_name.model is not None
    assert (by_name.model.model_id, by_name.model.weights_sha256) == ("embedded", None)
    whole = open_with_model(settings).expected()
    assert whole.model is not None
    for digest in (whole.model.weights_sha256, whole.model.tokenizer_sha256):
        assert len(str(digest)) == 64


@pytest.mark.parametrize("there", [True, False])
def test_a_model_folder_is_known_by_its_name(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "my-model").mkdir()
    settings = sample_atlas.settings_in(tmp_path, model=str(tmp_path / "my-model"))
    for opened in (open_in_force, open_with_model):
        model = opened(settings).expected().model
        assert model is not None
        assert model.model_id == "my-model"


def test_files_of_other_settings_are_refused_in_force_and_read_from_a_folder(data: Path) -> None:
    store = open_in_force(sample_atlas.settings_in(data, variations=7))
    with pytest.raises(ProvenanceError, match="variations = 50"):
        store.read("summary")
    assert open_folder(data / sample_atlas.NAME).read("summary").height == 2


def test_a_missing_artifact_without_settings(data: Path) -> None:
    with pytest.raises(MissingArtifactError, match="atlas build"):
        require_file(store_in(data), "token_checker_masks")
    require_file(store_in(data), "summary")


def test_where_there_is_no_atlas_those_beside_it_are_named(data: Path) -> None:
    beside = f"but beside it the atlas {sample_atlas.NAME}"
    nothing = open_in_force(sample_atlas.settings_in(data).model_copy(update={"name": "other"}))
    with pytest.raises(MissingArtifactError, match=f"found: none, {beside}"):
        require_file(nothing, "summary")
    with pytest.raises(MissingArtifactError, match=f"nothing at that path, {beside}"):
        open_folder(data / "other")
    with pytest.raises(MissingArtifactError, match="found: none\n"):
        require_file(store_in(data), "token_checker_masks")


def test_an_ad_hoc_setting_does_not_change_the_sweep_of_a_folder(data: Path) -> None:
    folder = data / sample_atlas.NAME
    off = Setting(0.3, 0.6)
    store_in(data).write("object_masks", object_masks(samples.activations(), off), off)
    assert tuple(open_folder(folder).sweep) == (ONE, OTHER)
    assert open_folder(folder).stale_reason("masks") is None
    (folder / "14_summary.csv").unlink()
    assert tuple(open_folder(folder).sweep) == (ONE, off, OTHER)
