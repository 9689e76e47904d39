"""``atlas publish`` against a local Hub: the real command, in a process of its own and in this."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from atlas_assets.cli.app import atlas
from atlas_assets.stages.circuits import circuits
from atlas_assets.stages.setting import Definition
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.publishing import REPO, Atlas
from atlas_assets_tests.soundness import sound_atlas


@pytest.fixture
def mine(sound: Path, tmp_path: Path) -> Atlas:
    """A sound atlas, to be changed."""
    return Atlas.copy_of(sound, tmp_path / "data")


@pytest.fixture(autouse=True)
def environment(
    hub: LocalHub, mine: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Of the command: that atlas in force, and the Hub."""
    settings = {
        "ATLAS_DATA_DIR": mine.settings.data_dir,
        "ATLAS_NAME": sound_atlas.NAME,
        "ATLAS_EPSILONS": "0.001,0.5",
        "ATLAS_CONSISTENCIES": "0.5,0.8",
        "ATLAS_VARIATIONS": str(sound_atlas.VARIATIONS),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return hub.environment(tmp_path / "home", **settings)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(atlas, ["publish", *arguments])


def test_publish(hub: LocalHub, environment: dict[str, str]) -> None:
    dry = run("--to", REPO, "--dry-run")
    assert dry.exit_code == 0, dry.stderr
    assert "which is not there and would be created (public)" in dry.stdout
    assert "+ add" in dry.stdout and "14_summary.csv" in dry.stdout
    assert "dry run: nothing was written" in dry.stdout and hub.repos == {}
    assert "would be made" in dry.stdout and "missing: " in dry.stdout and "claims.md" in dry.stdout
    target = {**environment, "ATLAS_HUB_TARGET": REPO}
    names = ["--files", "summary", "--files", "object_masks"]
    command = [sys.executable, "-m", "atlas_assets.cli", "publish", "--json", *names]
    done = subprocess.run(command, env=target, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    again = run("--to", REPO, *names)
    assert again.exit_code == 0 and again.stderr == "", again.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "atlas.publish/1" and document["committed"] and document["tagged"]
    assert document["url"].endswith(f"/datasets/{REPO}/commit/{hub.head(REPO)}")
    assert {change["path"] for change in document["changes"]} == set(hub.files(REPO))
    assert document["left_out"] == [] and document["tables_loaded"] == 1
    # the table did load, from the folder and at the commit
    assert hub.calls("GET", rf"/resolve/{document['sha']}/viewer/summary\.parquet")
    assert "nothing to commit" in again.stdout
    assert hub.token not in dry.output + done.stdout + again.output


def test_others_files_are_replaced_only_when_that_is_said(hub: LocalHub) -> None:
    mine, elsewhere = "token_checker_masks.h5", "old/13_universal_masks_sweep.parquet"
    hub.push(REPO, {mine: b"theirs", elsewhere: b"theirs"})
    arguments = ("--to", REPO, "--files", mine)
    refused = run(*arguments)
    assert refused.exit_code == 3 and "--overwrite" in refused.stderr
    assert hub.files(REPO)[mine] == b"theirs" and len(hub.commits(REPO)) == 2
    done = run(*arguments, "--overwrite")
    # none of them is a table, so none was loaded
    assert done.exit_code == 0 and "committed " in done.stdout and "every table" not in done.stdout
    assert hub.files(REPO)[mine] != b"theirs" and hub.files(REPO)[elsewhere] == b"theirs"


def test_a_token_that_cannot_be_sent(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_tökén")
    done = run("--to", REPO)
    assert done.exit_code == 3, done.stderr
    assert "a token with other characters" in done.stderr and "HF_TOKEN" in done.stderr
    assert "tök" not in done.output and "Traceback" not in done.stderr
    assert hub.calls() == []


def test_circuits_that_nobody_asks_for_any_more_are_left_out_and_no_finding(
    hub: LocalHub, mine: Atlas
) -> None:
    table = pl.DataFrame(schema=circuits.SCHEMA.polars)
    mine.store.write("circuits", table, Definition("own"), inputs={})
    done = run("--to", REPO, "--dry-run")
    assert done.exit_code == 0, done.stderr
    assert "circuits_own.parquet: its definition is not in force" in done.stdout
    assert hub.repos == {}


def test_what_is_left_out_is_a_finding(hub: LocalHub, mine: Atlas) -> None:
    mine.rename_a_prompt()
    names = ("--files", "token_checker_masks.h5", "--files", "summary")
    done = run("--to", REPO, "--dry-run", *names)
    assert done.exit_code == 1, done.stderr
    assert "token_checker_masks.h5: it is stale: token_checker_prompts has changed" in done.stdout
    assert "14_summary.csv" in done.stdout and "13_object_masks" not in done.stdout
    assert hub.repos == {}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "ATLAS_HUB_TARGET"),
        (["--to", "no repository"], "owner/name"),
        (["--to", REPO, "--files", "14_sumary.csv"], "14_summary.csv"),
    ],
)
def test_wrong_usage(hub: LocalHub, arguments: list[str], told: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2 and told in done.stderr
    assert hub.calls() == []
