"""An atlas opened in Python says what the command line says."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import atlas_assets as aa
from atlas_assets import io
from atlas_assets.errors import MissingArtifactError, SettingsError
from atlas_assets_tests.cli.conftest import Call, call
from atlas_assets_tests.sample_atlas import NAME, environment

__all__ = ["call"]


def test_a_circuit_is_that_of_atlas_show(call: Call, made: Path) -> None:
    told = call(made, "show", "If", "-e", "0.1", "--json").json
    shown = aa.open_atlas(made / NAME).show("If", eps=0.1)
    assert shown["concept"].unique().to_list() == ["ast__If"]
    for row, layer in zip(shown.iter_rows(named=True), told["layers"], strict=True):
        assert {key: row[key] for key in ("layer", "size", "neurons")} == {
            key: layer[key] for key in ("layer", "size", "neurons")
        }
        assert {key: row[key] for key in layer["decomposition"]} == layer["decomposition"]
        nearest = layer["nearest"] or {"concept": None, "jaccard": None}
        assert (row["nearest"], row["jaccard"]) == tuple(nearest.values())


def test_a_concept_without_keyword_has_no_parts(made: Path) -> None:
    shown = aa.open_atlas(made / NAME).show("len")
    assert shown["concept_only"].null_count() == shown.height
    assert shown["size"].null_count() == 0


def test_the_atlas_in_force_and_its_folder_are_the_same(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(made).items():
        monkeypatch.setenv(name, value)
    in_force = aa.open_atlas()
    assert in_force.folder == aa.open_atlas(str(made / NAME)).folder
    assert in_force.summary().equals(io.load_summary(data_root=in_force.folder))
    assert isinstance(in_force.summary(), pl.DataFrame)


def test_what_is_not_there_is_named(made: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError, match="no atlas"):
        aa.open_atlas(tmp_path / "none")
    with pytest.raises(MissingArtifactError, match="summary"):
        aa.open_atlas(tmp_path).summary()
    with pytest.raises(SettingsError, match="nearest"):
        aa.open_atlas(made / NAME).show("Iff")
