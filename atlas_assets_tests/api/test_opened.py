"""An atlas opened in Python says what the command line says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import atlas_assets as aa
from atlas_assets import io
from atlas_assets.atlas.open import open_with_model
from atlas_assets.errors import MissingArtifactError, SettingsError
from atlas_assets.stages.circuits.circuits import to_table
from atlas_assets.stages.setting import REFERENCE, Definition
from atlas_assets_tests.cli.conftest import Call, call
from atlas_assets_tests.sample_atlas import NAME, data, environment, settings_in

__all__ = ["call", "data"]


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


def test_it_says_where_it_lies_and_what_can_be_asked(made: Path) -> None:
    told = repr(aa.open_atlas(made / NAME))
    assert str(made / NAME) in told
    assert ".show(concept)" in told


def test_circuits_are_those_of_a_definition(data: Path) -> None:
    store = open_with_model(settings_in(data))
    universal = store.read("object_masks", REFERENCE, part="universal").universal
    for definition, masks in (
        (Definition("published"), universal),
        (Definition("calibrated"), universal.select(universal.names[:1])),
    ):
        store.write("circuits", to_table(masks), definition, inputs={})
    atlas = aa.open_atlas(data / NAME)
    assert atlas.circuits().equals(to_table(universal))
    assert atlas.circuits("calibrated")["concept"].unique().to_list() == [universal.names[0]]
    with pytest.raises(MissingArtifactError, match="the definitions calibrated; published"):
        atlas.circuits("matched")
    with pytest.raises(SettingsError, match="not a definition"):
        atlas.circuits("no definition")
    told = r"published, calibrated, contrastive, matched, .* own\n.*'foo'\n.*calibrated; published"
    with pytest.raises(SettingsError, match=told):
        atlas.circuits("foo")
    with pytest.raises(MissingArtifactError, match=r"\(ATLAS_CIRCUITS, or circuits="):
        atlas.circuits("own")


def test_what_is_not_there_is_named(made: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError, match="no atlas"):
        aa.open_atlas(tmp_path / "none")
    with pytest.raises(MissingArtifactError, match="no file of an atlas"):
        aa.open_atlas(tmp_path)
    with pytest.raises(MissingArtifactError, match=f"{made / 'other'}"):
        aa.open_atlas(made)
    with pytest.raises(SettingsError, match="nearest"):
        aa.open_atlas(made / NAME).show("Iff")


@pytest.mark.parametrize(
    ("call_it", "where"),
    [
        (lambda _: aa.open_atlas(""), "folder"),
        (lambda _: aa.open_atlas(3), "folder"),
        (lambda folder: aa.open_atlas(folder).show(3), "concept"),
        (lambda folder: aa.open_atlas(folder).show("For", eps="x"), "eps"),
        (lambda folder: aa.open_atlas(folder).show("For", cons=0), "cons"),
        (lambda folder: aa.open_atlas(folder).circuits(3), "definition"),
        (lambda folder: aa.open_atlas(folder).circuits("published@-1,0.8"), "the key published@"),
        (lambda folder: io.load_universal_masks(eps=None, data_root=folder), "eps"),
        (lambda folder: aa.build(data_dir=str(folder), variations=0), "variations"),
        (lambda folder: aa.build(data_dir=str(folder), epsilons=[-1]), "epsilons"),
        (lambda _: aa.build(token_checker_setting=(0.5, 2)), "token_checker_setting"),
    ],
)
def test_an_argument_that_cannot_be_used_is_named(
    made: Path, call_it: Callable[[Path], object], where: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        call_it(made / NAME)
    assert caught.value.said["where"].startswith(where)
    assert list(caught.value.said) == ["where", "expected", "found", "what to do"]
    assert "ATLAS_" not in caught.value.said["what to do"]
