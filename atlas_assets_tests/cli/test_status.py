"""``atlas status``."""

from __future__ import annotations

from pathlib import Path

from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets_tests.cli.conftest import Call
from atlas_assets_tests.sample_atlas import NAME


def rows(text: str, artifact: str) -> list[str]:
    lines = text.splitlines()
    start = next(line.index("artifact") for line in lines if " artifact " in line)
    return [line[start:] for line in lines if line[start:].split()[:1] == [artifact]]


def row(text: str, artifact: str) -> str:
    (line,) = rows(text, artifact)
    return line


def test_a_line_per_artifact_and_what_the_files_are_about(made: Path, call: Call) -> None:
    shown = call(made, "status")
    assert shown.code == 1, "token-checker prompts and others are missing"
    assert shown.err == ""
    assert f"atlas: {made / NAME}" in shown.out
    assert "made with: embedded, last_token, float32 (14 files)" in shown.out
    for key in ARTIFACTS:
        assert row(shown.out, key)
    assert row(shown.out, "object_masks").split()[-1] == "fresh"
    assert "2 settings" in row(shown.out, "object_masks")
    assert row(shown.out, "token_checker_prompts").split()[-2:] == ["–", "missing"]
    assert max(map(len, shown.out.splitlines())) <= max(100, len(str(made)) + 20)


def test_cells_lists_every_setting(made: Path, call: Call) -> None:
    text = call(made, "status", "--cells").out
    assert ["ε=0.1, C=0.8" in line for line in rows(text, "object_masks")] == [True, False]


def test_the_document_has_every_file(made: Path, call: Call) -> None:
    document = call(made, "status", "--json").json
    assert document["schema"] == "atlas.status/1"
    assert document["folder"] == str(made / NAME)
    files = {(f["artifact"], f["epsilon"], f["consistency"]): f for f in document["files"]}
    cells = sum(2 if artifact.partitioned else 1 for artifact in ARTIFACTS.values())
    assert len(files) == cells
    masks = files["object_masks", 0.1, 0.8]
    assert (masks["state"], masks["reason"], masks["present"]) == ("fresh", None, True)
    assert masks["provenance"]["lineage"]["readout"] == "last_token"
    assert masks["provenance"]["setting"] == {"epsilon": 0.1, "consistency": 0.8}
    assert masks["size_bytes"] == Path(masks["path"]).stat().st_size
    missing = files["token_checker_masks", None, None]
    assert (missing["state"], missing["present"], missing["provenance"]) == ("missing", False, None)


def test_stale_files_say_why_and_once(made: Path, call: Call) -> None:
    shown = call(made, "status", dtype="float16")
    assert shown.code == 1
    assert row(shown.out, "summary").split()[-1] == "stale"
    why = shown.out[shown.out.index("\nwhy\n") :]
    assert "object_masks (2 settings), checker_masks (2 settings)" in " ".join(why.split())
    assert why.count("it was made with dtype = float32, now float16") == 1


def test_a_damaged_file_is_a_line_not_a_crash(data: Path, call: Call) -> None:
    path = data / NAME / "13_object_masks_eps0.1_cons0.8.h5"
    path.write_bytes(path.read_bytes()[:1000])
    shown = call(data, "status")
    assert shown.code == 3
    assert "Traceback" not in shown.out + shown.err
    states = [line.split()[-1] for line in rows(shown.out, "object_masks")]
    assert states == ["damaged", "fresh"]
    assert path.name in shown.out
    document = call(data, "status", "--json")
    assert document.code == 3
    states = {f["state"] for f in document.json["files"] if f["artifact"] == "object_masks"}
    assert states == {"damaged", "fresh"}


def test_files_off_the_grid_and_foreign_ones(data: Path, call: Call) -> None:
    (data / NAME / "notes.txt").write_text("mine")
    assert call(data, "sweep", "-e", "0.3", "-c", "0.6", "--write").code == 0
    text = call(data, "status").out
    assert "ε=0.3, C=0.6 (off the grid)" in text
    assert "not part of an atlas: notes.txt" in text


def test_no_atlas(tmp_path: Path, call: Call) -> None:
    for command in ("status", "claims"):
        shown = call(tmp_path, command)
        assert shown.code == 3
        assert "there is no atlas" in shown.err
        assert str(tmp_path / NAME) in shown.err


def test_a_misspelt_name_in_the_settings_is_said(made: Path, call: Call) -> None:
    shown = call(made, "status", ast_nodes="Fro,Pass")
    assert shown.code == 2
    assert "ATLAS_AST_NODES" in shown.err
    assert "For" in shown.err
    assert shown.out == ""
