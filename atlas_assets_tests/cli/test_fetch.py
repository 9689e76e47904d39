"""``atlas fetch`` as users call it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import constants as hub_constants

from atlas_assets.storage import source_record
from atlas_assets_tests import sample_atlas
from atlas_assets_tests.hub import fetching
from atlas_assets_tests.hub.fetching import MASKS, SUMMARY
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.release_repo import OTHER_NAME, REPO
from atlas_assets_tests.storage import samples


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / fetching.FOLDER


def test_fetch_then_claims_status_and_where(
    hub: LocalHub, sha: str, tmp_path: Path, folder: Path, release: Path
) -> None:
    done = fetching.atlas(tmp_path, "fetch")
    assert done.exit_code == 0, done.stderr
    assert f"source: {REPO} at {sha}" in done.stdout
    assert f"atlas: {folder}" in done.stdout
    assert f"export ATLAS_HUB_SOURCE={REPO}" in done.stdout
    assert hub.token not in done.stdout + done.stderr
    assert (folder / MASKS).read_bytes() == (release / "masks" / MASKS).read_bytes()

    in_force = {"ATLAS_HUB_SOURCE": REPO}
    claims = json.loads(fetching.atlas(tmp_path, "claims", "--json", **in_force).stdout)
    assert claims["folder"] == str(folder)
    evaluated = {c["id"]: c for c in claims["claims"] if c["holds"] is not None}
    for claim in ("modular-top-concept", "survival-eps0.5_cons0.8", "prompts-object"):
        assert evaluated[claim]["about_this_atlas"]
        assert "frozen artifacts" in evaluated[claim]["model"]

    status = json.loads(fetching.atlas(tmp_path, "status", "--json", **in_force).stdout)
    (masks,) = (file for file in status["files"] if file["path"] == str(folder / MASKS))
    assert masks["state"] == "fresh"
    told = ("repository", "revision", "path")
    assert [masks["source"][name] for name in told] == [REPO, sha, f"masks/{MASKS}"]
    shown = fetching.atlas(tmp_path, "status", **in_force).stdout
    assert f"fetched from {REPO} at {sha[:12]}" in shown
    where = json.loads(fetching.atlas(tmp_path, "where", "--json", **in_force).stdout)
    sources = {file["name"]: file["source"] for file in where["files"]}
    assert sources[SUMMARY]["revision"] == sha


def test_a_bad_file_is_named_and_the_others_are_there(
    hub: LocalHub, sha: str, tmp_path: Path, folder: Path
) -> None:
    hub.push(REPO, {f"masks/{MASKS}": b"not HDF5 at all"})
    done = fetching.atlas(tmp_path, "fetch", MASKS, "summary", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["counts"] == {"fetched": 1, "unchanged": 0, "failed": 1}
    (failed,) = (file for file in json.loads(done.stdout)["files"] if file["state"] == "failed")
    assert failed["name"] == MASKS
    assert "not a sound object_masks" in failed["error"]["what"]
    assert [path.name for path in folder.glob("[!.]*")] == [SUMMARY]


def test_the_list_fetches_nothing(hub: LocalHub, sha: str, tmp_path: Path, folder: Path) -> None:
    chosen = ("--setting", "0.5,0.8", "object_masks", "summary")
    done = fetching.atlas(tmp_path, "fetch", "--list", *chosen)
    assert done.exit_code == 0, done.stderr
    assert f"masks/{MASKS}" in done.stdout
    assert "2 files" in done.stdout
    assert not folder.exists()
    assert not hub.calls(match="/resolve/")


def test_another_source_revision_and_folder(
    hub: LocalHub, release: Path, tmp_path: Path, folder: Path
) -> None:
    first = hub.push("someone/atlas", {SUMMARY: (release / "tables" / SUMMARY).read_bytes()})
    hub.push("someone/atlas", {SUMMARY: b"later\n"})
    into = tmp_path / "elsewhere"
    source = ("fetch", "--source", "someone/atlas", "--revision", first)
    done = fetching.atlas(tmp_path, *source, "--into", str(into))
    assert done.exit_code == 0, done.stderr
    record = source_record.read(into / SUMMARY)
    assert record is not None
    assert (record.repository, record.revision) == ("someone/atlas", first)
    assert not folder.exists()
    # a chosen name is the folder's name
    done = fetching.atlas(tmp_path, *source, ATLAS_NAME="mine")
    assert (tmp_path / "data" / "mine" / SUMMARY).is_file(), done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nonsense.csv",), 2, "the source has no such file"),
        (("--setting", "high"), 2, "not a setting"),
        (("--source", "no-owner"), 2, "where: --source"),
        (("--source", ""), 2, "where: --source"),
        (("--revision", ""), 2, "where: --revision"),
        (("--into", ""), 2, "where: --into"),
        (("--source", "someone/else"), 3, "no such repository"),
        (("--revision", "v9"), 3, "no such revision"),
    ],
)
def test_wrong_usage(
    hub: LocalHub, sha: str, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = fetching.atlas(tmp_path, "fetch", *arguments)
    assert done.exit_code == code, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "ATLAS_" not in done.stderr or said not in ("where: --source", "where: --revision")


def test_without_the_hub_a_named_revision_finds_its_copy(
    hub: LocalHub, sha: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = samples.sample("summary").write_csv().encode()
    hub.push(REPO, {f"tables/{SUMMARY}": other}, branch="x")
    for revision in ("main", "x"):
        into = str(tmp_path / revision)
        done = fetching.atlas(tmp_path, "fetch", "--revision", revision, "summary", "--into", into)
        assert done.exit_code == 0, done.stderr
    hub.forget_calls()
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    for arguments in (("--revision", "main"), ()):
        done = fetching.atlas(tmp_path, "fetch", "--json", *arguments)
        assert done.exit_code == 0, done.stderr
        assert json.loads(done.stdout)["sha"] == sha
        assert "was not asked: offline mode" in json.loads(done.stdout)["notes"][0]
        assert "no copy" not in json.loads(done.stdout)["notes"][0]
    refused = fetching.atlas(tmp_path, "fetch", "--revision", "v1")
    assert refused.exit_code == 3
    assert "no copy" in refused.stderr
    assert hub.calls() == []


def test_nothing_is_not_everything(hub: LocalHub, tmp_path: Path) -> None:
    hub.push("someone/empty", {"README.md": b"# Nothing yet\n"})
    done = fetching.atlas(tmp_path, "fetch", "--source", "someone/empty")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "there is nothing to fetch" in done.stderr
    assert not (tmp_path / "data").exists()
    shown = fetching.atlas(tmp_path, "fetch", "--source", "someone/empty", "--list")
    assert (shown.exit_code, "0 files" in shown.stdout) == (0, True)


def test_two_atlases_do_not_mix_by_way_of_into(hub: LocalHub, sha: str, tmp_path: Path) -> None:
    root = sample_atlas.make(tmp_path / "data").root
    for name in (SUMMARY, MASKS):
        (root / name).unlink()
    done = fetching.atlas(tmp_path, "fetch", "summary", "object_masks", "--into", str(root))
    assert done.exit_code == 3
    assert "would mix" in done.stderr
    assert "11A_object_prompts.parquet, made with embedded" in done.stderr
    assert not (root / SUMMARY).exists()


def test_a_path_does_not_steer_the_terminal(hub: LocalHub, release: Path, tmp_path: Path) -> None:
    folder = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e"
    path = release / "tables" / SUMMARY
    hub.push("someone/odd", {f"{folder}/{SUMMARY}": path.read_bytes()})
    for arguments in (("--list",), ("--list", f"{folder}/14_summary.cs"), ()):
        done = fetching.atlas(tmp_path, "fetch", "--source", "someone/odd", *arguments)
        assert done.exit_code in (0, 2), done.stderr
        shown = done.stdout + done.stderr
        assert not {"\x1b", "\x07", "\x9b", "\u202e"}.intersection(shown)
        assert "\\x1b[2J" in shown or not arguments, shown


def test_a_killed_fetch_goes_on(hub: LocalHub, sha: str, tmp_path: Path, folder: Path) -> None:
    env = fetching.environment(hub, tmp_path)
    hub.fail("HEAD", f"/resolve/.*{MASKS}", delay=60, times=9)
    with subprocess.Popen(
        [sys.executable, "-m", "atlas_assets.cli", "fetch"],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + 60
        while any(f.times == 9 for f in hub.faults) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
    there = {path.name for path in folder.iterdir() if path.is_file()}
    assert "12_object_activations.h5" in there
    assert MASKS not in there
    hub.faults.clear()
    counts = json.loads(fetching.atlas(tmp_path, "fetch", "--json").stdout)["counts"]
    assert counts["failed"] == 0
    assert counts["unchanged"] == len(there)


def test_the_other_name_of_the_papers_repository(
    hub: LocalHub, release: Path, tmp_path: Path
) -> None:
    hub.push(OTHER_NAME, {SUMMARY: (release / "tables" / SUMMARY).read_bytes()})
    done = fetching.atlas(tmp_path, "fetch")
    assert done.exit_code == 0, done.stderr
    assert f"source: {OTHER_NAME}" in done.stdout
    assert f"there is no {REPO}" in done.stdout
