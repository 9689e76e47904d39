"""``atlas export`` writes what the pure part gives, says where, and replaces nothing unasked."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from atlas_assets.atlas.open import open_folder
from atlas_assets.stages.setting import REFERENCE
from atlas_assets_tests.cli.conftest import Call
from atlas_assets_tests.sample_atlas import NAME


def test_csv_at_every_setting_or_at_one(made: Path, call: Call, tmp_path: Path) -> None:
    target = tmp_path / "circuits.csv"
    exported = call(made, "export", "csv", "--into", str(target))
    assert exported.code == 0, exported.err
    assert f"exported: {target} (1 file" in exported.out
    store = open_folder(made / NAME)
    table = pl.read_csv(target)
    assert table.select("epsilon", "consistency").n_unique() == len(store.sweep)
    again = call(made, "export", "csv", "--into", str(target))
    assert again.code == 3
    assert "something is in the way" in again.err
    options = ("--overwrite", "--setting", "eps=0.5,C=0.8", "--json")
    one = call(made, "export", "csv", "--into", str(target), *options)
    document = json.loads(one.out)
    assert document["epsilon"] == 0.5
    assert document["files"] == [{"path": str(target), "size_bytes": target.stat().st_size}]
    universal = store.read("object_masks", REFERENCE, part="universal").universal
    assert pl.read_csv(target).height == universal.bits.sum()


def test_neuronpedia_in_the_current_folder(
    made: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exported = call(made, "export", "neuronpedia")
    assert exported.code == 0, exported.err
    assert (tmp_path / f"{NAME}-neuronpedia" / "config" / "explanation_type.jsonl").is_file()
    missing = call(made, "export", "csv", "--setting", "0.3,0.8")
    assert missing.code == 3
    assert "ε=0.3, C=0.8" in missing.err


@pytest.mark.parametrize("into", ["s3://user:secret@bucket/x.csv", "memory://x", "-", "", " "])
def test_what_is_no_path_here_is_refused(
    made: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, into: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = call(made, "export", "csv", "--into", into, "--json")
    assert (refused.code, refused.json["error"]["where"]) == (2, "--into")
    assert "secret" not in refused.out + refused.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("form", "into", "found"),
    [
        ("csv", "folder", "a folder"),
        ("csv", "/dev/null", "neither a file nor a folder"),
        ("neuronpedia", "file", "a file"),
        ("neuronpedia", "folder", "a folder with own/notes.txt, which is no part of an export"),
        ("csv", "file/x.csv", "File exists"),
    ],
)
def test_what_is_of_another_kind_is_not_overwritten(
    made: Path, call: Call, tmp_path: Path, form: str, into: str, found: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "own").mkdir(parents=True)
    (tmp_path / "folder" / "own" / "notes.txt").touch()
    refused = call(made, "export", form, "--overwrite", "--into", str(tmp_path / into), "--json")
    assert (refused.code, refused.json["error"]["found"]) == (3, found)
    assert "disk" not in refused.json["error"]["remedy"]
    assert (tmp_path / "folder" / "own" / "notes.txt").exists()


def test_an_export_of_neuronpedia_replaces_another_as_a_whole(
    made: Path, call: Call, tmp_path: Path
) -> None:
    options = ("export", "neuronpedia", "--into", str(tmp_path / "set"), "--json")
    files = [file["path"] for file in call(made, *options).json["files"]]
    longer = tmp_path / "set" / "embedded" / "99-atlas-mlp" / "source.jsonl"
    longer.parent.mkdir()
    longer.write_text("a layer that another model had")
    assert "--overwrite" in call(made, *options).json["error"]["remedy"]
    again = call(made, *options, "--overwrite")
    assert again.code == 0, again.err
    assert sorted(map(str, (tmp_path / "set").rglob("*.*"))) == sorted(files)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_what_a_killed_export_moved_aside_is_in_the_way(
    made: Path, call: Call, tmp_path: Path
) -> None:
    aside = tmp_path / f".set.{'0' * 32}.tmp"
    (aside / "earlier").mkdir(parents=True)
    (aside / ".alive").touch()
    refused = call(made, "export", "neuronpedia", "--into", str(tmp_path / "set"), "--json")
    assert (refused.code, refused.json["error"]["found"]) == (3, "a folder")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
