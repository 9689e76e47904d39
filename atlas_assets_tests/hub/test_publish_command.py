"""``atlas publish``: the real command in a process of its own, against a local Hub."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from atlas_assets.cli.app import atlas
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.publishing import REPO, rename_a_prompt
from atlas_assets_tests.soundness import sound_atlas


@pytest.fixture
def environment(hub: LocalHub, tmp_path: Path) -> dict[str, str]:
    """Of the command: a sound atlas in force, and the Hub."""
    sound_atlas.make(tmp_path / "data")
    settings = {
        "ATLAS_DATA_DIR": str(tmp_path / "data"),
        "ATLAS_NAME": sound_atlas.NAME,
        "ATLAS_EPSILONS": "0.001,0.5",
        "ATLAS_CONSISTENCIES": "0.5,0.8",
        "ATLAS_VARIATIONS": str(sound_atlas.VARIATIONS),
    }
    return hub.environment(tmp_path / "home", **settings)


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "atlas_assets.cli", "publish", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def answer(environment: dict[str, str], *arguments: str) -> Any:
    done = run(environment, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_publish(hub: LocalHub, environment: dict[str, str], tmp_path: Path) -> None:
    dry = run({**environment, "HF_TOKEN": ""}, "--to", REPO, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "which is not there and would be created (public)" in dry.stdout
    assert "+ add" in dry.stdout and "14_summary.csv" in dry.stdout
    assert "dry run: nothing was written" in dry.stdout and hub.repos == {}
    assert "would be made" in dry.stdout
    target = {**environment, "ATLAS_HUB_TARGET": REPO}
    done = answer(target)
    assert done["schema"] == "atlas.publish/1" and done["committed"] and done["tagged"]
    assert done["url"].endswith(f"/datasets/{REPO}/commit/{hub.head(REPO)}")
    assert {change["path"] for change in done["changes"]} == set(hub.files(REPO))
    assert {file["name"] for file in done["left_out"]} >= {"claims.md"}
    # the tables did load, from the folder and at the commit
    assert hub.calls("GET", rf"/resolve/{done['sha']}/viewer/summary\.parquet")
    again = run(target)
    assert again.returncode == 0 and "nothing to commit" in again.stdout and again.stderr == ""
    assert hub.token not in dry.stdout + dry.stderr + again.stdout + json.dumps(done)


def test_a_part_without_tables(hub: LocalHub, environment: dict[str, str]) -> None:
    done = run(environment, "--to", REPO, "--files", "object_masks")
    assert done.returncode == 0, done.stderr
    assert "committed " in done.stdout and "every table" not in done.stdout
    del hub.repos["dataset", REPO].tags[next(iter(hub.repos["dataset", REPO].tags))]
    dry = run(environment, "--to", REPO, "--files", "object_masks", "--dry-run")
    assert "dry run: nothing was written\n" in dry.stdout and "would be made" in dry.stdout


def test_others_files_are_replaced_only_when_that_is_said(
    hub: LocalHub, environment: dict[str, str]
) -> None:
    elsewhere = "old/13_universal_masks_sweep.parquet"
    hub.push(REPO, {"14_summary.csv": b"theirs\n", elsewhere: b"theirs"})
    arguments = ("--to", REPO, "--files", "summary")
    refused = run(environment, *arguments)
    assert refused.returncode == 3 and "--overwrite" in refused.stderr
    assert hub.files(REPO)["14_summary.csv"] == b"theirs\n" and len(hub.commits(REPO)) == 2
    done = answer(environment, *arguments, "--overwrite")
    assert done["committed"] and done["tables_loaded"] == 1
    assert hub.files(REPO)["14_summary.csv"] != b"theirs\n"
    assert hub.files(REPO)[elsewhere] == b"theirs"


def test_a_token_that_cannot_be_sent(hub: LocalHub, environment: dict[str, str]) -> None:
    done = run({**environment, "HF_TOKEN": "hf_tökén"}, "--to", REPO)
    assert done.returncode == 3, done.stderr
    assert "a token with other characters" in done.stderr and "HF_TOKEN" in done.stderr
    assert "tök" not in done.stdout + done.stderr and "Traceback" not in done.stderr
    assert hub.calls() == []


def test_what_is_left_out_is_a_finding(
    hub: LocalHub, environment: dict[str, str], tmp_path: Path
) -> None:
    rename_a_prompt(sound_atlas.make(tmp_path / "data"))
    done = run(
        environment,
        "--to",
        REPO,
        "--dry-run",
        "--files",
        "token_checker_masks.h5",
        "--files",
        "summary",
    )
    assert done.returncode == 1, done.stderr
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
def test_wrong_usage(
    hub: LocalHub,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    told: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(atlas, ["publish", *arguments])
    assert done.exit_code == 2 and told in done.stderr
    assert hub.calls() == []


def test_a_hub_that_refuses(
    hub: LocalHub, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    hub.fail("GET", "/api/datasets/", status=403, times=9)
    done = CliRunner().invoke(atlas, ["publish", "--to", REPO, "--json"])
    assert done.exit_code == 3
    document = json.loads(done.stdout)
    assert document["kind"] == "HubPermanentError" and "403" in document["error"]["found"]
    assert hub.token not in done.output
