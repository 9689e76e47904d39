"""``atlas status`` and ``atlas where``: the files of an atlas, and the state of each."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import h5py
import polars as pl
import pytest

from atlas_assets.atlas.open import open_with_model
from atlas_assets.errors import ArtifactError
from atlas_assets.stages.catalog import ARTIFACTS, artifact_of_file
from atlas_assets.stages.circuits import circuits
from atlas_assets.stages.setting import Definition
from atlas_assets.storage.codecs import codec_named
from atlas_assets_tests import sample_atlas
from atlas_assets_tests.cli.conftest import Call, Called
from atlas_assets_tests.sample_atlas import NAME
from atlas_assets_tests.storage import release_files, samples
from atlas_assets_tests.storage.bad_disks import open_folder, refused


def rows(text: str, artifact: str) -> list[str]:
    lines = text.splitlines()
    start = next(line.index("artifact") for line in lines if " artifact " in line)
    return [line[start:] for line in lines if line[start:].split()[:1] == [artifact]]


def row(text: str, artifact: str) -> str:
    (line,) = rows(text, artifact)
    return line


def files_of(called: Called) -> dict[tuple[str, float | None], dict[str, Any]]:
    return {(file["artifact"], file["epsilon"]): file for file in called.json["files"]}


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
    missing = files_of(call(made, "status", "--json"))["token_checker_masks", None]
    assert (missing["state"], missing["present"], missing["provenance"]) == ("missing", False, None)
    cells = call(made, "status", "--cells").out
    assert ["ε=0.1, C=0.8" in line for line in rows(cells, "object_masks")] == [True, False]


def test_stale_files_say_why_and_once(made: Path, call: Call) -> None:
    shown = call(made, "status", dtype="float16")
    assert shown.code == 1
    assert row(shown.out, "summary").split()[-1] == "stale"
    why = shown.out[shown.out.index("\nwhy\n") :]
    assert "object_masks (2 settings), checker_masks (2 settings)" in " ".join(why.split())
    assert why.count("it was made with dtype = float32, now float16") == 1


def test_what_follows_from_changed_activations_is_stale(data: Path, call: Call) -> None:
    store = open_with_model(sample_atlas.settings_in(data))
    store.write("object_activations", samples.activations(seed=9))
    files = files_of(call(data, "status", "--json"))
    assert files["object_masks", 0.1]["state"] == "stale"
    assert files["object_masks", 0.1]["reason"] == "object_activations has changed since"
    assert files["checker_masks", 0.1]["state"] == "fresh"


def test_damaged_files_are_lines_and_the_rest_is_surveyed(data: Path, call: Call) -> None:
    masks = data / NAME / "13_object_masks_eps0.1_cons0.8.h5"
    masks.write_bytes(masks.read_bytes()[:1000])
    activations = data / NAME / "12_checker_activations.h5"
    activations.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
    table = data / NAME / "14_summary.csv"
    table.write_text(table.read_text().replace("0.8", "0.7"))
    shown = call(data, "status")
    assert shown.code == 3
    assert "Traceback" not in shown.out + shown.err
    assert [line.split()[-1] for line in rows(shown.out, "object_masks")] == ["damaged", "fresh"]
    assert masks.name in shown.out
    document = call(data, "status", "--json")
    assert document.code == 3
    files = files_of(document)
    damaged = files["checker_activations", None]
    assert (damaged["state"], damaged["size_bytes"]) == ("damaged", 108)
    assert str(activations) in damaged["reason"]
    dependent = files["checker_masks", 0.1]
    assert dependent["state"] == "stale"
    assert dependent["reason"].startswith("an input is damaged")
    assert files["object_masks", 0.5]["state"] == "fresh"
    assert files["summary", None]["state"] == "damaged"
    assert "edited" in files["summary", None]["reason"]


def test_files_that_cannot_be_read_say_why(data: Path, call: Call) -> None:
    names = ("12_object_activations.h5", "12_checker_activations.h5", "14_summary.csv")
    written, newer, pipe = (data / NAME / name for name in names)
    with h5py.File(newer, "r+") as file:
        record = file["metadata"].attrs["provenance"]
        file["metadata"].attrs["provenance"] = record.replace(
            '"format_version":2', '"format_version":9'
        )
    # as in a file that a process writes to
    with written.open("r+b") as file:
        file.seek(11)
        file.write(b"\1")
    pipe.unlink()
    os.mkfifo(pipe)
    shown = call(data, "status", "--json")
    assert shown.code == 3
    files = files_of(shown)
    states = [
        files[key, None]["state"]
        for key in ("object_activations", "checker_activations", "summary")
    ]
    assert states == ["busy", "foreign", "unreadable"]
    assert "open elsewhere" in files["object_activations", None]["reason"]
    assert files["object_masks", 0.1]["reason"].startswith("an input is busy")


def test_content_that_was_changed_is_found_when_verifying(data: Path, call: Call) -> None:
    path = data / NAME / "13_object_masks_eps0.5_cons0.8.h5"
    with h5py.File(path, "r+") as file:
        dataset = file["pair_masks/layer_1/For__len"]
        dataset[...] = ~dataset[:]
    assert files_of(call(data, "status", "--json"))["object_masks", 0.5]["state"] == "fresh"
    found = files_of(call(data, "status", "--verify", "--json"))["object_masks", 0.5]
    assert found["state"] == "damaged"
    assert "content is not what was written" in found["reason"]


@pytest.mark.parametrize("verify", [(), ("--verify",)])
@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("circuits_published.parquet", "circuits_matched.parquet", "definition = matched"),
        ("11A_object_prompts.parquet", "11B_checker_prompts.parquet", "artifact = checker_prompts"),
        (
            "13_object_masks_eps0.5_cons0.8.h5",
            "13_checker_masks_eps0.5_cons0.8.h5",
            "artifact = checker_masks",
        ),
        (
            "13_object_masks_eps0.5_cons0.8.h5",
            "13_object_masks_eps0.1_cons0.8.h5",
            "setting = ε=0.1, C=0.8",
        ),
    ],
)
def test_files_that_changed_places_are_what_their_readers_say(
    data: Path, call: Call, one: str, other: str, said: str, verify: tuple[str, ...]
) -> None:
    store = open_with_model(sample_atlas.settings_in(data))
    for name in ("published", "matched"):
        table = pl.DataFrame(
            {"concept": ["ast__For"], "layer": [0], "neuron": [len(name)]},
            schema=circuits.SCHEMA.polars,
        )
        store.write("circuits", table, Definition(name), inputs={})
    places = [data / NAME / name for name in (one, other)]
    kept = [place.read_bytes() for place in places]
    for place, content in zip(places, reversed(kept), strict=True):
        place.write_bytes(content)
    found = artifact_of_file(one)
    assert found is not None
    with pytest.raises(ArtifactError) as refused:
        store.read(found[0].key, found[1])
    assert refused.value.found == said
    shown = call(data, "status", "--json", *verify)
    states = {Path(file["path"]).name: file for file in shown.json["files"]}
    assert shown.code == 3
    assert [states[name]["state"] for name in (one, other)] == ["damaged", "damaged"]
    assert said in states[one]["reason"]


def test_who_makes_a_damaged_file_again_is_said(data: Path, call: Call) -> None:
    store = open_with_model(sample_atlas.settings_in(data))
    path = store.write("ablation", samples.sample("ablation"), inputs={}).path
    path.rename(store.path("ablation_sample"))
    assert "and not atlas build" not in call(data, "status").out
    store.path("ablation_sample").rename(path)
    path.write_bytes(path.read_bytes()[:99])
    told = " ".join(call(data, "status").out.split())
    assert "the job validate, and not atlas build, makes ablation again" in told


def test_a_record_of_circuits_that_names_no_definition_is_still_read(data: Path) -> None:
    store = open_with_model(sample_atlas.settings_in(data))
    table = pl.DataFrame(schema=circuits.SCHEMA.polars)
    record = store.write("circuits", table, Definition("matched"), inputs={}).provenance
    codec_named("circuits").write(
        store.path("circuits", Definition("published")),
        table,
        record.model_copy(update={"definition": None}),
    )
    assert store.read("circuits", Definition("published")).is_empty()


def test_circuits_that_are_not_asked_for_any_more_are_not_in_force(
    data: Path, tmp_path: Path, call: Call
) -> None:
    own = tmp_path / "own.parquet"
    table = pl.DataFrame(schema=circuits.SCHEMA.polars)
    table.write_parquet(own)
    asked = {"circuits": str(own)}
    with_own = open_with_model(sample_atlas.settings_in(data, **asked))
    for name in ("published", "own"):
        with_own.write("circuits", table, Definition(name), inputs={})

    def states(**changes: str) -> dict[str, tuple[str, bool, str | None]]:
        files = call(data, "status", "--json", **changes).json["files"]
        of_circuits = [file for file in files if file["artifact"] == "circuits"]
        return {
            file["definition"]: (file["state"], file["on_grid"], file["reason"])
            for file in of_circuits
            if file["definition"] in ("own", "published")
        }

    fresh = {"published": ("fresh", True, None), "own": ("fresh", True, None)}
    assert states(**asked) == fresh
    assert states() == {**fresh, "own": ("fresh", False, None)}
    assert "own (not in force)" in call(data, "status").out
    table.with_columns(pl.lit(0).alias("more")).write_parquet(own)
    changed = states(**asked)
    assert changed["published"] == fresh["published"], "the file is not its"
    assert changed["own"][0] == "stale" and "code version" in str(changed["own"][2])


def test_files_without_a_record_are_fresh(tmp_path: Path, call: Call) -> None:
    (tmp_path / NAME).mkdir()
    value = samples.objects(samples.SETTING)
    release_files.write_object_masks(tmp_path / NAME / "13_object_masks_eps0.5_cons0.8.h5", value)
    for origin, told in (
        ("unknown", "of unknown origin"),
        ("release", "the paper's release"),
    ):
        found = files_of(call(tmp_path, "status", "--json"))["object_masks", 0.5]
        assert (found["state"], found["origin"], found["provenance"]) == ("fresh", origin, None)
        assert told in call(tmp_path, "status").out
        shown = call(tmp_path, "show", "For")
        assert told.replace("'", "’") in shown.out
        release_files.note_fetched(tmp_path / NAME)


def test_files_off_the_grid_and_foreign_ones(data: Path, call: Call) -> None:
    (data / NAME / "notes.txt").write_text("mine")
    (data / NAME / "13_object_masks_eps0.50_cons0.8.h5").write_bytes(b"")
    assert call(data, "sweep", "-e", "0.3", "-c", "0.6", "--write").code == 0
    text = call(data, "status").out
    assert "ε=0.3, C=0.6 (off the grid)" in text
    assert "not part of an atlas: 13_object_masks_eps0.50_cons0.8.h5, notes.txt" in text


def test_what_the_sweep_cannot_make_is_not_missing(made: Path, call: Call) -> None:
    shown = call(made, "status", epsilons="0.1")
    assert row(shown.out, "ockham_index").endswith("not in the sweep")
    assert row(shown.out, "fraction_intervals").endswith("on demand")
    assert row(shown.out, "atlas_report").split()[-1] == "missing"
    found = {
        file["artifact"]: file
        for file in call(made, "status", "--json", epsilons="0.1").json["files"]
    }
    assert found["jaccard_matrices"]["reason"] == "the sweep lacks a setting that it needs"


def test_a_misspelt_name_in_the_settings_is_said(made: Path, call: Call) -> None:
    shown = call(made, "status", ast_nodes="Fro,Pass")
    assert shown.code == 2
    assert "ATLAS_AST_NODES" in shown.err
    assert "For" in shown.err
    assert shown.out == ""


def test_where_lists_the_files(made: Path, tmp_path: Path, call: Call) -> None:
    names = [file["name"] for file in call(made, "where", "--json").json["files"]]
    assert names == sorted(path.name for path in (made / NAME).iterdir() if path.is_file())
    nothing = call(tmp_path, "where")
    assert (nothing.code, nothing.err) == (1, "")
    assert "no files yet" in nothing.out


@pytest.mark.parametrize(
    ("place", "mode"),
    [("", 0o000), (NAME, 0o000), (NAME, 0o711), (f"{NAME}/.provenance", 0o000)],
)
def test_what_may_not_be_looked_into_is_said(made: Path, call: Call, place: str, mode: int) -> None:
    with open_folder() as here:
        data = shutil.copytree(made, here / "data")
        for each in (data, *data.rglob("*")):
            each.chmod(0o755)
        folder = data / place
        for name in ("status", "where", "claims"):
            call(data, name)  # what they import need not be open to other users
        with refused(folder, mode):
            called = {name: call(data, name) for name in ("status", "where", "claims")}
    for name, shown in called.items():
        assert shown.code == 3 or (name, place, mode) in READABLE, (name, shown)
        assert "defect" not in shown.err
    if place.endswith(".provenance"):
        assert row(called["status"].out, "summary").split()[-1] == "unreadable"
    else:
        assert "cannot be read" in called["status"].err and str(folder) in called["status"].err


#: a folder that lets no names be listed lets files be read whose names are known
READABLE = {("where", f"{NAME}/.provenance", 0o000), ("claims", NAME, 0o711)}
