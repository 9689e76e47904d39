"""What files must be about, with and without the model at hand."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from atlas_assets.atlas.lineage import expected_lineage
from atlas_assets.atlas.model import AtlasModel
from atlas_assets.settings import AtlasSettings
from atlas_assets.storage.provenance import Lineage, contradictions

SHA = "0123456789abcdef0123456789abcdef01234567"


def lineage_of(settings: AtlasSettings) -> Lineage:
    return expected_lineage(settings, AtlasModel(settings, ask_hub=False))()


def test_the_embedded_model_is_known_to_the_last_bit() -> None:
    model = lineage_of(AtlasSettings()).model
    assert model is not None
    assert model.model_id == "embedded"
    assert model.weights_sha256 and len(model.weights_sha256) == 64
    assert model.tokenizer_sha256 and len(model.tokenizer_sha256) == 64


@pytest.mark.parametrize(
    ("revision", "expected"), [(None, None), ("main", None), ("v1.2", None), (SHA, SHA)]
)
def test_without_the_model_only_a_full_sha_is_compared(
    revision: str | None,
    expected: str | None,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    settings = AtlasSettings.build(model="nobody/no-such-model", model_revision=revision)
    with caplog.at_level(logging.WARNING):
        lineage = lineage_of(settings)
    assert lineage.model is not None
    assert (lineage.model.model_id, lineage.model.revision) == ("nobody/no-such-model", expected)
    assert "cannot be read" in caplog.text


def test_a_folder_that_went_away_is_still_the_same_model(tmp_path: Path) -> None:
    gone = lineage_of(AtlasSettings.build(model=str(tmp_path / "my-model")))
    assert gone.model is not None
    assert gone.model.model_id == "my-model"


def test_a_changed_choice_contradicts() -> None:
    one, two = lineage_of(AtlasSettings()), lineage_of(AtlasSettings.build(readout="published"))
    assert [field for field, _, _ in contradictions(one, two)] == ["readout"]
