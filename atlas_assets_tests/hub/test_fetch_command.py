"""``atlas fetch`` as users call it, and the loaders that fetch what is missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from atlas_assets import io
from atlas_assets.atlas.open import open_in_force
from atlas_assets.errors import HubUnavailableError, MissingArtifactError, ProvenanceError
from atlas_assets.hub.fetch import fetch_missing
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.setting import REFERENCE, STANDALONE
from atlas_assets.storage import source_record
from atlas_assets_tests import sample_atlas
from atlas_assets_tests.hub import fetched
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.release_repo import OTHER_NAME, REPO
from atlas_assets_tests.storage import samples

Atlas = Callable[..., subprocess.CompletedProcess[str]]
MASKS = f"13_object_masks_{REFERENCE.file_tag}.h5"
SUMMARY = "14_summary.csv"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / fetched.FOLDER


# the command -------------------------------------------------------------------------------------


def test_fetch_then_claims_status_and_where(
    hub: LocalHub, sha: str, tmp_path: Path, folder: Path, release: Path
) -> None:
    env = fetched.environment(hub, tmp_path)
    done = fetched.atlas(env, "fetch")
    assert done.returncode == 0, done.stderr
    assert f"source: {REPO} at {sha}" in done.stdout
    assert f"atlas: {folder}" in done.stdout
    assert f"export ATLAS_HUB_SOURCE={REPO}" in done.stdout
    assert hub.token not in done.stdout + done.stderr
    assert (folder / MASKS).read_bytes() == (release / "masks" / MASKS).read_bytes()

    env["ATLAS_HUB_SOURCE"] = REPO
    claims = fetched.document(fetched.atlas(env, "claims", "--json"))
    assert claims["folder"] == str(folder)
    evaluated = {c["id"]: c for c in claims["claims"] if c["holds"] is not None}
    for claim in ("modular-top-concept", "survival-eps0.5_cons0.8", "prompts-object"):
        assert evaluated[claim]["about_this_atlas"]
        assert "frozen artifacts" in evaluated[claim]["model"]

    status = fetched.document(fetched.atlas(env, "status", "--json"))
    (masks,) = (file for file in status["files"] if file["path"] == str(folder / MASKS))
    assert masks["state"] == "fresh"
    assert masks["source"]["repository"] == REPO
    assert masks["source"]["revision"] == sha
    assert masks["source"]["path"] == f"masks/{MASKS}"
    assert f"fetched from {REPO} at {sha[:12]}" in fetched.atlas(env, "status").stdout
    where = fetched.document(fetched.atlas(env, "where", "--json"))
    sources = {file["name"]: file["source"] for file in where["files"]}
    assert sources[SUMMARY]["revision"] == sha


def test_a_bad_file_is_named_and_the_others_are_there(
    hub: LocalHub, sha: str, tmp_path: Path, folder: Path
) -> None:
    hub.push(REPO, {f"masks/{MASKS}": b"not HDF5 at all"})
    env = fetched.environment(hub, tmp_path)
    done = fetched.atlas(env, "fetch", "object_masks", "summary", "--json")
    assert done.returncode == 1
    found = fetched.document(done)
    assert found["counts"] == {"fetched": 2, "unchanged": 0, "failed": 1}
    (failed,) = (file for file in found["files"] if file["state"] == "failed")
    assert failed["name"] == MASKS
    assert "not a sound object_masks" in failed["error"]["what"]
    assert sorted(path.name for path in folder.glob("1*")) == [
        f"13_object_masks_{STANDALONE.file_tag}.h5",
        SUMMARY,
    ]


def test_the_list_fetches_nothing(hub: LocalHub, sha: str, tmp_path: Path, folder: Path) -> None:
    env = fetched.environment(hub, tmp_path)
    done = fetched.atlas(env, "fetch", "--list", "--setting", "0.5,0.8", "object_masks", "summary")
    assert done.returncode == 0, done.stderr
    assert f"masks/{MASKS}" in done.stdout
    assert "2 files" in done.stdout
    assert not folder.exists()
    assert not hub.calls(match="/resolve/")


def test_another_source_revision_and_folder(
    hub: LocalHub, release: Path, tmp_path: Path, folder: Path
) -> None:
    first = hub.push("someone/atlas", {SUMMARY: (release / "tables" / SUMMARY).read_bytes()})
    hub.push("someone/atlas", {SUMMARY: b"later\n"})
    env = fetched.environment(hub, tmp_path)
    into = tmp_path / "elsewhere"
    arguments = ("fetch", "--source", "someone/atlas", "--revision", first, "--into", str(into))
    done = fetched.atlas(env, *arguments)
    assert done.returncode == 0, done.stderr
    record = source_record.read(into / SUMMARY)
    assert record is not None
    assert (record.repository, record.revision) == ("someone/atlas", first)
    assert not folder.exists()
    # a chosen name is the folder's name
    done = fetched.atlas({**env, "ATLAS_NAME": "mine"}, *arguments[:-2])
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
    done = fetched.atlas(fetched.environment(hub, tmp_path), "fetch", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "ATLAS_" not in done.stderr or said not in ("where: --source", "where: --revision")


def test_without_the_hub_a_named_revision_finds_its_copy(
    hub: LocalHub, sha: str, tmp_path: Path, folder: Path
) -> None:
    hub.push(
        REPO, {f"tables/{SUMMARY}": samples.sample("summary").write_csv().encode()}, branch="x"
    )
    env = fetched.environment(hub, tmp_path)
    for revision in ("main", "x"):
        done = fetched.atlas(
            env, "fetch", "--revision", revision, "summary", "--into", str(tmp_path / revision)
        )
        assert done.returncode == 0, done.stderr
    hub.forget_calls()
    offline = {**env, "HF_HUB_OFFLINE": "1"}
    for arguments in (("--revision", "main"), ()):
        done = fetched.atlas(offline, "fetch", "--json", *arguments)
        assert done.returncode == 0, done.stderr
        found = fetched.document(done)
        assert found["sha"] == sha
        assert "was not asked: offline mode" in found["notes"][0]
        assert "no copy" not in found["notes"][0]
    refused = fetched.atlas(offline, "fetch", "--revision", "v1")
    assert refused.returncode == 3
    assert "no copy" in refused.stderr
    assert hub.calls() == []


def test_nothing_is_not_everything(hub: LocalHub, tmp_path: Path) -> None:
    hub.push("someone/empty", {"README.md": b"# Nothing yet\n"})
    env = fetched.environment(hub, tmp_path)
    done = fetched.atlas(env, "fetch", "--source", "someone/empty")
    assert (done.returncode, done.stdout) == (3, "")
    assert "there is nothing to fetch" in done.stderr
    assert not (tmp_path / "data").exists()
    shown = fetched.atlas(env, "fetch", "--source", "someone/empty", "--list")
    assert (shown.returncode, "0 files" in shown.stdout) == (0, True)


def test_two_atlases_do_not_mix_by_way_of_into(hub: LocalHub, sha: str, tmp_path: Path) -> None:
    root = sample_atlas.make(tmp_path / "data").root
    for name in (SUMMARY, MASKS):
        (root / name).unlink()
    done = fetched.atlas(
        fetched.environment(hub, tmp_path), "fetch", "summary", "object_masks", "--into", str(root)
    )
    assert done.returncode == 3
    assert "would mix" in done.stderr
    assert not (root / SUMMARY).exists()


def test_a_path_does_not_steer_the_terminal(hub: LocalHub, release: Path, tmp_path: Path) -> None:
    folder = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e"
    path = release / "tables" / SUMMARY
    hub.push("someone/odd", {f"{folder}/{SUMMARY}": path.read_bytes()})
    env = fetched.environment(hub, tmp_path)
    for arguments in (("--list",), ("--list", f"{folder}/14_summary.cs"), ()):
        done = fetched.atlas(env, "fetch", "--source", "someone/odd", *arguments)
        assert done.returncode in (0, 2), done.stderr
        shown = done.stdout + done.stderr
        assert not {"\x1b", "\x07", "\x9b", "\u202e"}.intersection(shown)
        assert "\\x1b[2J" in shown or not arguments, shown


def test_a_killed_fetch_goes_on(hub: LocalHub, sha: str, tmp_path: Path, folder: Path) -> None:
    env = fetched.environment(hub, tmp_path)
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
    found = fetched.document(fetched.atlas(env, "fetch", "--json"))
    assert found["counts"]["failed"] == 0
    assert found["counts"]["unchanged"] == len(there)


# the loaders -------------------------------------------------------------------------------------


@pytest.fixture
def in_force(hub: LocalHub, sha: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHub:
    """The fetched atlas is the one in force in this process, and nothing of it is here yet."""
    for name, value in fetched.environment(hub, tmp_path, ATLAS_HUB_SOURCE=REPO).items():
        if name.startswith("ATLAS_"):
            monkeypatch.setenv(name, value)
    return hub


def test_a_missing_file_is_fetched_once(in_force: LocalHub, sha: str, folder: Path) -> None:
    masks = io.load_universal_masks(eps=0.5, cons=0.8)
    assert masks.keys() == set(samples.objects().universal.names)
    assert [path.name for path in folder.glob("[!.]*")] == [MASKS]
    record = source_record.read(folder / MASKS)
    assert record is not None
    assert record.revision == sha
    in_force.forget_calls()
    assert io.load_universal_masks(eps=0.5, cons=0.8) == masks
    assert io.load_pair_masks(eps=0.5, cons=0.8)
    assert in_force.calls() == []
    assert io.load_summary().equals(io.load_summary(data_root=folder))


def test_what_belongs_together_is_fetched_at_one_commit(
    in_force: LocalHub, sha: str, folder: Path
) -> None:
    io.load_summary()
    in_force.push(REPO, {f"tables/14_target_checker_{REFERENCE.file_tag}.csv": b"newer\n"})
    assert io.load_target_checker().equals(samples.target_checker())


def test_a_folder_that_is_named_is_read_as_it_is(in_force: LocalHub, tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    with pytest.raises(MissingArtifactError):
        io.load_summary(data_root=tmp_path / "given")
    assert in_force.calls() == []


def test_without_a_source_nothing_is_asked(
    in_force: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATLAS_HUB_SOURCE")
    with pytest.raises(MissingArtifactError):
        io.load_summary()
    assert in_force.calls() == []


def test_what_the_source_does_not_have_either(in_force: LocalHub) -> None:
    with pytest.raises(MissingArtifactError, match=r"no object_masks at ε=0\.3"):
        io.load_universal_masks(eps=0.3, cons=0.8)


def test_a_computed_atlas_is_not_mixed_into(
    in_force: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = sample_atlas.make(tmp_path / "data")
    shutil.rmtree(store.path("summary").parent / ".provenance")
    store.path("summary").unlink()
    monkeypatch.setenv("ATLAS_NAME", sample_atlas.NAME)
    with pytest.raises(ProvenanceError, match="would mix"):
        io.load_summary()


def test_nobody_answers_and_nothing_is_here(in_force: LocalHub) -> None:
    in_force.close()
    started = time.monotonic()
    with pytest.raises(HubUnavailableError, match="cannot look up the dataset"):
        io.load_summary()
    assert time.monotonic() - started < 5


def test_a_stalled_hub_is_given_up_within_seconds(in_force: LocalHub) -> None:
    """In hundredths of what `HubClient.interactive` waits: twice five seconds at most."""
    in_force.fail("GET", "/api/datasets/", delay=60, times=9)
    settings = AtlasSettings.from_env()
    client = in_force.client(timeout=0.1, attempts=9).interactive()
    started = time.monotonic()
    with pytest.raises(HubUnavailableError, match="Timeout"):
        fetch_missing(settings, open_in_force(settings), "summary", client=client)
    assert time.monotonic() - started < 2


LOAD = """
import sys
from atlas_assets import io
assert not {'huggingface_hub', 'torch', 'dagster'} & set(sys.modules)
try: print(io.load_summary().height)
except Exception as error: print(type(error).__name__, error)
"""


def test_offline_mode(hub: LocalHub, sha: str, tmp_path: Path, folder: Path) -> None:
    env = fetched.environment(hub, tmp_path, ATLAS_HUB_SOURCE=REPO, HF_HUB_OFFLINE="1")

    def load(**more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", LOAD],
            env={**env, **more},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    said = load()
    assert said.startswith("HubPermanentError")
    assert "HF_HUB_OFFLINE" in said
    assert hub.calls() == []
    assert load(HF_HUB_OFFLINE="0").strip() == "2"
    shutil.rmtree(folder)
    hub.forget_calls()
    assert load().strip() == "2"  # from the cache
    assert hub.calls() == []


def test_the_other_name_of_the_papers_repository(
    hub: LocalHub, release: Path, tmp_path: Path
) -> None:
    hub.push(OTHER_NAME, {SUMMARY: (release / "tables" / SUMMARY).read_bytes()})
    done = fetched.atlas(fetched.environment(hub, tmp_path), "fetch")
    assert done.returncode == 0, done.stderr
    assert f"source: {OTHER_NAME}" in done.stdout
    assert f"there is no {REPO}" in done.stdout
