"""Which checkpoints the settings name, and what is said where one model is wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas_assets.atlas.open import open_in_force, open_to_build
from atlas_assets.atlas.series import checkpoints, other_tokenizers, passed_over
from atlas_assets.errors import SettingsError
from atlas_assets.models.identity import ModelIdentity
from atlas_assets.settings import AtlasSettings
from atlas_assets.storage.provenance import Lineage, Provenance

SHAS = ("a" * 40, "b" * 40)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for name in ("step-20", "step-3", "step-100"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").touch()
    (tmp_path / "logs").mkdir()
    return tmp_path


def test_folders_come_in_the_order_of_their_numbers(run: Path) -> None:
    series = checkpoints(AtlasSettings.build(model=str(run)))
    assert [one.label for one in series] == ["step-3", "step-20", "step-100"]
    assert [one.step for one in series] == [3, 20, 100]
    assert [one.settings.model for one in series] == [str(run / one.label) for one in series]
    assert len({one.settings.atlas_name for one in series}) == 3
    named = checkpoints(AtlasSettings.build(model=str(run), name="mine"))
    assert [one.settings.atlas_name for one in named] == [
        "mine--step-3",
        "mine--step-20",
        "mine--step-100",
    ]


def test_odd_names_of_folders_stay_apart_or_are_refused(tmp_path: Path) -> None:
    names = ("step 1", "step-1", "step_1", "шаг 1", "step%1", "step.1", "1" * 200)
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").touch()
    for given in ({}, {"name": "mine"}):
        series = checkpoints(AtlasSettings.build(model=str(tmp_path), **given))
        assert {one.label for one in series} == {*names}
        assert len({one.settings.atlas_name for one in series}) == len(names)
        for one in series:  # names are as those that users give
            AtlasSettings.build(name=one.settings.atlas_name)
    for odd in ("step...2", "step\n2"):
        folder = (tmp_path / "step 1").rename(tmp_path / odd)
        with pytest.raises(SettingsError, match="three dots in a row"):
            checkpoints(AtlasSettings.build(model=str(tmp_path)))
        folder.rename(tmp_path / "step 1")


def test_folders_that_are_no_checkpoints_are_named(run: Path) -> None:
    for name in ("step-11", "step-2", ".git"):
        (run / name).mkdir()
    (run / "notes.txt").touch()
    settings = AtlasSettings.build(model=str(run))
    assert passed_over(settings) == ("logs", "step-2", "step-11")
    assert passed_over(AtlasSettings.build(model=str(run / "step-3"))) == ()
    assert passed_over(AtlasSettings.build(model="you/model", model_revision="a,b")) == ()


def test_another_tokenizer_than_the_firsts_is_told() -> None:
    def made_with(digest: str | None) -> Provenance:
        lineage = Lineage(model=ModelIdentity(model_id="m", tokenizer_sha256=digest))
        record = {"artifact": "object_masks", "code_version": "1", "payload_sha256": "0"}
        return Provenance(**record, origin="atlas", lineage=lineage)

    records = {"a": None, "b": made_with("x"), "c": made_with(None), "d": made_with("x")}
    assert other_tokenizers(records) is None
    assert other_tokenizers({}) is None
    told = other_tokenizers({**records, "e": made_with("y")})
    assert told is not None
    assert told.startswith("e has another file of the tokenizer than b: where")
    told = other_tokenizers({**records, **dict.fromkeys("efghijk", made_with("y"))})
    assert told is not None
    assert told.startswith("e, f, g, h, i, … have another file of the tokenizer than b: where")


def test_revisions_come_in_the_order_in_which_they_are_named() -> None:
    settings = AtlasSettings.build(model="you/model", model_revision="step2000, main,step143")
    series = checkpoints(settings)
    assert [one.settings.model_revision for one in series] == ["step2000", "main", "step143"]
    assert [one.step for one in series] == [2000, None, 143]
    assert len({one.settings.atlas_name for one in series}) == 3


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"model": "you/model"},
        {"model": "you/model", "model_revision": "main"},
        {"model": "you/model", "model_revision": "main,"},
        {"model": "no/such/folder"},
    ],
)
def test_one_model_is_no_series(values: dict[str, str]) -> None:
    assert checkpoints(AtlasSettings.build(**values)) == ()


def test_a_checkpoint_or_a_folder_with_one_is_no_series(run: Path) -> None:
    assert checkpoints(AtlasSettings.build(model=str(run / "step-3"))) == ()
    assert checkpoints(AtlasSettings.build(model=str(run / "logs"))) == ()
    (run / "config.json").touch()
    assert checkpoints(AtlasSettings.build(model=str(run))) == ()


def test_where_one_model_is_wanted_a_series_is_refused(run: Path) -> None:
    settings = AtlasSettings.build(model=str(run), data_dir=str(run / "data"))
    for open_one in (open_in_force, open_to_build):
        with pytest.raises(SettingsError, match="3 checkpoints: step-3, step-20, step-100") as told:
            open_one(settings)
        assert f"ATLAS_MODEL={run / 'step-100'}" in str(told.value)
    revisions = AtlasSettings.build(model="you/model", model_revision=",".join(SHAS))
    with pytest.raises(SettingsError, match=f"ATLAS_MODEL_REVISION={SHAS[1]}"):
        open_in_force(revisions)
