"""``atlas diff``."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from atlas_assets_tests.cli.conftest import Call
from atlas_assets_tests.sample_atlas import NAME


def test_the_same_atlas(made: Path, tmp_path: Path, call: Call) -> None:
    copy = shutil.copytree(made / NAME, tmp_path / "copy")
    shown = call(made, "diff", str(made / NAME), str(copy))
    assert shown.code == 0
    assert "no difference (2 common settings)" in shown.out
    document = call(made, "diff", NAME, str(copy), "--json").json
    assert document["schema"] == "atlas.diff/1"
    assert document["identical"]
    assert document["a"] == str(made / NAME)
    assert (document["neurons"], document["files"], document["claims"]) == ([], [], [])
    assert [row["changed"] for row in document["circuits"]] == [0, 0]


def test_another_atlas_by_name(made: Path, call: Call) -> None:
    shown = call(made, "diff", NAME, "other", "--top", "4")
    assert shown.code == 1
    lines = shown.out.splitlines()
    assert max(map(len, lines)) <= 100
    assert any(line.split() == ["object_masks", "2", "differs"] for line in lines)
    start = next(i for i, line in enumerate(lines) if line.startswith("changed most (4 of "))
    listed = [line.split() for line in lines[start + 2 : start + 6]]
    changes = [int(row[6]) + int(row[7]) for row in listed]
    assert changes == sorted(changes, reverse=True)
    assert "claims that come out differently" in lines


def test_the_document_lists_the_neurons(made: Path, call: Call) -> None:
    document = call(made, "diff", NAME, "other", "--no-claims", "--json").json
    assert document["claims"] is None
    assert all(len(row["neurons_gained"]) == row["gained"] for row in document["neurons"])
    assert sum(row["changed"] for row in document["circuits"]) == len(document["neurons"])


def test_a_folder_without_files_of_an_atlas_cannot_be_compared(data: Path, call: Call) -> None:
    empty = data / "no-atlas"
    empty.mkdir()
    (empty / "notes.txt").write_text("nothing of an atlas")
    shown = call(data, "diff", NAME, "no-atlas")
    assert shown.code == 3
    assert "no file of an atlas" in shown.err


def test_a_name_is_looked_up_here_and_among_the_atlases(
    made: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).mkdir()  # of that name, and no atlas
    assert call(made, "diff", NAME, f"./{NAME}", "--no-claims").code == 0
    shown = call(made, "diff", NAME, "othr", "--json")
    assert shown.code == 3
    assert shown.json["error"]["found"] == f"neither {tmp_path / 'othr'} nor {made / 'othr'}"
    parent = call(made, "diff", NAME, str(made), "--json").json["error"]
    assert parent["found"] == "no file of an atlas, but the atlases other, published, sample"
    assert call(made, "diff", NAME, "").code == 2
