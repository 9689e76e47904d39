"""``atlas build`` where something goes wrong; whole builds are those of test_command_line."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import polars as pl
import pytest

from atlas_assets.cli.build import _text
from atlas_assets.errors import ProvenanceError
from atlas_assets.models.sources import local_folder
from atlas_assets.storage.provenance import require_own
from atlas_assets_tests.cli.conftest import Call
from atlas_assets_tests.orchestration.tiny_atlas import QUICK_LOOK
from atlas_assets_tests.sample_atlas import NAME
from atlas_assets_tests.storage.samples import provenance


def test_what_could_not_be_made_is_named_with_its_cause(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    cut = {key: str(value) for key, value in QUICK_LOOK.items()}
    model = shutil.copytree(local_folder("embedded"), tmp_path / "model")  # type: ignore[type-var]
    (model / "tokenizer.json").write_text("{}")
    built = call(tmp_path / "data", "build", model=str(model), **cut)
    assert built.code == 3
    assert built.out.startswith("not all could be made in ")
    assert "\ncould not be made\n" in built.out
    assert "what it shows" not in built.out
    # what stops several steps is told once
    failed = "  checker_prompts, object_prompts, token_checker_prompts: the model"
    assert failed in built.out
    assert built.out.count("what to do: ") == 1
    assert "run " in built.out
    assert "Dependencies" not in built.err  # the steps that were left out are said to be, shortly
    assert (tmp_path / "home" / "dagster.yaml").read_text().startswith("telemetry:")


@pytest.mark.parametrize(
    ("file", "command"),
    [("ablation.parquet", "-j validate"), ("ablation_sample.parquet", "`atlas build`")],
)
def test_what_makes_a_file_again_that_a_step_could_not_read_is_said(
    tmp_path: Path, file: str, command: str
) -> None:
    key = file.removesuffix(".parquet")
    with pytest.raises(ProvenanceError) as refused:
        require_own(provenance("attribution"), artifact=key, path=tmp_path / file)
    document = {
        "checks_not_passed": {},
        "checks_passed": 1,
        "seconds": 1.0,
        "failures": dict.fromkeys(("circuit_quality", "specificity"), str(refused.value)),
        "findings": [],
        "folder": str(tmp_path),
        "report": None,
        "run_id": "0" * 32,
    }
    told = "\n".join(_text(document))
    assert told.count("to materialise:") == 1
    assert command in told[told.index("to materialise:") :].splitlines()[0]


def test_own_circuits_that_cannot_be_read_are_told_of_before_any_work(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    (tmp_path / "mine.parquet").write_text("hello")
    built = call(tmp_path / "data", "build", circuits=str(tmp_path / "mine.parquet"))
    assert built.code == 2
    assert "the file of circuits cannot be read" in built.err
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "home").exists()


def test_what_cannot_be_built_is_told_of_before_any_work(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no folder")
    circuits = pl.DataFrame({"concept": ["For"], "layer": [0], "neuron": [1]})
    circuits.write_parquet(tmp_path / "mine.parquet")
    for code, told, given in (
        (3, "found: no folder of this name, and no Hub id", {"model": str(tmp_path / "nothing")}),
        (3, "found: a file", {"model": str(tmp_path / "file")}),
        (3, "config.json", {"model": str(tmp_path / "empty")}),
        (2, "what to do: correct ATLAS_DEVICE", {"device": "cuda:99"}),
        (3, "did you mean ast__For?", {"circuits": str(tmp_path / "mine.parquet")}),
        (2, "fetch it (`atlas fetch`), or unset", {"hub_source": "piotrwilam/CSP-Atlas"}),
    ):
        built = call(tmp_path / "data", "build", **given)
        assert built.code == code, built.err
        assert told in built.err
        assert not (tmp_path / "data").exists()
        assert not (tmp_path / "home").exists()
    built = call(Path("/proc/atlases"), "build")  # where nobody can make a folder
    assert built.code == 3
    assert "cannot write the atlas" in built.err
    assert not (tmp_path / "home").exists()


def test_a_port_that_is_taken_is_refused(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = call(tmp_path, "ui", "--port", str(port))
    assert refused.code == 2
    assert f"{port} cannot be listened on" in refused.err


def test_no_place_for_the_instance(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "file" / "home"))
    built = call(tmp_path / "data", "build")
    assert built.code == 3
    assert "Dagster's instance has no place" in built.err


def test_there_is_no_report_to_open(made: Path, call: Call) -> None:
    opened = call(made, "open")
    assert opened.code == 3
    assert "make it with `atlas build` (" in opened.err


def test_a_damaged_report_is_not_opened(data: Path, call: Call) -> None:
    (data / NAME / "atlas_explorer.html").write_bytes(b"\xff")
    opened = call(data, "open", "--print", "--json")
    assert opened.code == 3
    error = opened.json["error"]
    assert error["where"].endswith("atlas_explorer.html")
    assert "materialise it again" in error["remedy"]
