"""A series of checkpoints: an atlas of each, and what they show over training."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

import atlas_assets as aa
from atlas_assets.atlas.series import checkpoints
from atlas_assets.definitions import build_definitions
from atlas_assets.errors import MissingArtifactError, ModelError, SettingsError
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.series import SERIES_SCHEMA
from atlas_assets.storage.figures import FigureFile
from atlas_assets.storage.tables import CsvTable
from atlas_assets_tests import sample_atlas
from atlas_assets_tests.cli.conftest import Call, call
from atlas_assets_tests.sample_atlas import NAME

__all__ = ["call"]

STEPS = ("step-1", "step-10")
EMBEDDED = Path(aa.__file__).parent / "models" / "embedded"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder of two checkpoints that nobody runs."""
    for step in STEPS:
        (tmp_path / "run" / step).mkdir(parents=True)
        (tmp_path / "run" / step / "config.json").write_text("{}", encoding="utf-8")
    return tmp_path / "run"


def compared(settings: AtlasSettings, instance: dg.DagsterInstance) -> None:
    definitions = build_definitions(settings)
    keys = ["circuits_over_training", "figure_training"]
    dg.materialize(list(definitions.assets or []), selection=keys, instance=instance)  # type: ignore[arg-type]


def test_what_the_atlases_show_is_compared(
    run: Path, tmp_path: Path, instance: dg.DagsterInstance, call: Call
) -> None:
    data = tmp_path / "data"
    settings = sample_atlas.settings_in(data, model=str(run))
    with pytest.raises(MissingArtifactError, match="no object_masks"):
        compared(settings, instance)
    for seed, one in enumerate(checkpoints(settings)):
        sample_atlas.make(data, seed=seed, name=one.settings.name, model=one.settings.model)
    compared(settings, instance)
    path = data / NAME / "circuits_over_training.csv"
    table, record = CsvTable(SERIES_SCHEMA).read(path)
    assert table["checkpoint"].to_list() == [step for step in STEPS for _ in range(2)]
    assert set(record.inputs) == set(STEPS)
    assert pl.read_csv(path)["step"].to_list() == [1, 1, 10, 10]
    drawn, _ = FigureFile().read(data / NAME / "figure_training.png")
    assert "step-10, AST nodes" in drawn.description

    told = call(data, "stability", "--json", model=str(run)).json
    assert told["folders"] == [str(data / f"{NAME}--{step}") for step in STEPS]
    where = call(data, "where", "--json", model=str(run)).json
    assert list(where["checkpoints"].values()) == told["folders"]
    assert "step-10: " in call(data, "where", model=str(run)).out
    for command in (["show", "For"], ["follow"], ["status"], ["claims"]):
        refused = call(data, *command, model=str(run))
        assert refused.code == 2
        assert "2 checkpoints: step-1, step-10" in refused.err


def test_a_series_is_asked_for_by_its_name(run: Path) -> None:
    with pytest.raises(SettingsError, match="several checkpoints"):
        aa.build(model=str(run))
    with pytest.raises(SettingsError, match="no series"):
        aa.build_series(model=str(run / STEPS[0]))


def test_checkpoints_that_cannot_be_read_are_all_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="2 of 2 checkpoints have no atlas") as caught:
        aa.build_series(model=str(run), data_dir=str(tmp_path / "data"))
    said = str(caught.value).splitlines()
    for step in STEPS:
        at = said.index(f"    {step}: the model's config.json names no model type")
        assert said[at + 1] == f"      where: {run / step / 'config.json'}"
        assert said[at + 4].startswith("      what to do: ")
    assert said[-1].startswith("  what to do: do as said of each")


def test_what_goes_wrong_with_a_checkpoint_is_told_in_words_alone(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    """Runs of checkpoints log to Dagster's instance, and not to the terminal."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    (run / "step-2").mkdir()
    told = call(tmp_path / "data", "build", model=str(run))
    assert told.code == 3
    assert "checkpoint_atlases: passed over, without a config.json: step-2\n" in told.err
    assert "Traceback" not in told.err
    assert "Stack Trace" not in told.err
    assert "\n      step-1: the model's config.json names no model type\n" in told.out
    assert f"\n        where: {run / 'step-1' / 'config.json'}\n" in told.out
    where = call(tmp_path / "data", "where", model=str(run))
    assert "passed over, without a config.json: step-2\n" in where.out


def test_a_series_is_compared_without_those_that_have_no_atlas(
    run: Path, tmp_path: Path, call: Call
) -> None:
    data = tmp_path / "data"
    for step in ("step-2", "step-3"):
        (run / step).mkdir()
        (run / step / "config.json").write_text("{}", encoding="utf-8")
    settings = sample_atlas.settings_in(data, model=str(run))
    refused = call(data, "stability", model=str(run))
    assert refused.code == 3
    assert "found: none of step-1, step-2, step-3, step-10\n" in refused.err
    step_1, step_2, _, step_10 = checkpoints(settings)
    for seed, one in enumerate((step_1, step_10)):
        sample_atlas.make(data, seed=seed, name=one.settings.name, model=one.settings.model)
    # one that failed before its masks
    made = sample_atlas.make(data, name=step_2.settings.name, model=step_2.settings.model)
    for path in Path(made.root).glob("*masks*"):
        path.unlink()
    told = call(data, "stability", "--json", model=str(run)).json
    assert told["folders"] == [str(data / f"{NAME}--{step}") for step in STEPS]
    assert told["without_masks"] == ["step-2", "step-3"]
    assert told["notice"] is None
    for flags in ([], ["--markdown"]):
        text = call(data, "stability", *flags, model=str(run)).out
        assert "without an atlas to compare: step-2, step-3\n" in text


def test_another_tokenizer_in_a_series_is_told(
    run: Path, tmp_path: Path, instance: dg.DagsterInstance, call: Call
) -> None:
    data = tmp_path / "data"
    settings = sample_atlas.settings_in(data, model=str(run))
    for seed, one in enumerate(checkpoints(settings)):
        shutil.copytree(EMBEDDED, run / one.label, dirs_exist_ok=True)
        if seed:
            tokenizer = run / one.label / "tokenizer.json"
            tokenizer.write_text(tokenizer.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        sample_atlas.make(data, seed=seed, name=one.settings.name, model=one.settings.model)
    compared(settings, instance)
    said = "step-10 has another file of the tokenizer than step-1"
    assert said in call(data, "stability", model=str(run)).out
    drawn, _ = FigureFile().read(data / NAME / "figure_training.png")
    assert said in drawn.description


@pytest.mark.slow
def test_a_damaged_checkpoint_stops_no_other(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    for step in (*STEPS, "step-5"):
        shutil.copytree(EMBEDDED, run / step, dirs_exist_ok=True)
    weights = run / STEPS[0] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:9_999])
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    cut = {"ast_nodes": "For,Pass", "builtins": "list,_isolated_", "variations": "2"}
    data = tmp_path / "data"
    for _ in range(2):
        told = call(data, "build", "--json", model=str(run), **cut)
        assert told.code == 3
        (message,) = told.json["failures"].values()
        assert "1 of 3 checkpoints have no atlas; 2 of the series were built" in message
        assert "step-1: the model's weights are damaged" in message
        assert "expected: " in message
        assert "download or copy the file again" in message
        (folder,) = data.glob("*/circuits_over_training.csv")
        assert set(pl.read_csv(folder)["checkpoint"]) == {"step-5", "step-10"}
    shutil.copy(EMBEDDED / "model.safetensors", weights)
    assert call(data, "build", "--json", model=str(run), **cut).code == 0
    assert set(pl.read_csv(folder)["checkpoint"]) == {*STEPS, "step-5"}


@pytest.mark.slow
def test_every_checkpoint_gets_its_atlas_and_is_left_when_it_is_done(
    run: Path, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    for step in STEPS:
        shutil.copytree(EMBEDDED, run / step, dirs_exist_ok=True)
    given = {
        "data_dir": str(tmp_path / "data"),
        "model": str(run),
        "ast_nodes": ["For", "Pass"],
        "builtins": ["list", "_isolated_"],
        "variations": 2,
        "device": "cpu",
    }
    atlases = aa.build_series(instance=instance, **given)
    assert list(atlases) == list(STEPS)
    first, second = (atlas.show("For") for atlas in atlases.values())
    assert first.equals(second)

    def runs() -> int:
        """Of atlases and of the series: an atlas makes its circuits in runs of their own."""
        return instance.get_runs_count(dg.RunsFilter(job_name="atlas"))

    assert runs() == 3
    aa.build_series(instance=instance, **given)
    assert runs() == 4
