"""A model from the Hub: pinned, without anything that could run, and honest about old copies."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save

import atlas_assets as aa
from atlas_assets.definitions import build_resources
from atlas_assets.errors import ModelError
from atlas_assets.models.loading import identify, load, resolve
from atlas_assets.models.sources import ModelSource
from atlas_assets.settings import AtlasSettings
from atlas_assets_tests.hub.hub_faults import ERROR_PAGE
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.models import tiny
from atlas_assets_tests.storage import samples

MODEL = "openai/circuit-sparsity"
EMBEDDED = Path(aa.__file__).parent / "models" / "embedded"
BESIDE_WEIGHTS = ("config.json", "tokenizer.json", "tokenizer_config.json")
KEPT = ["config.json", "model.safetensors", "tokenizer.json"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as it is published: with code and pickled weights beside what is needed."""
    folder = tiny.write(tmp_path_factory.mktemp("model") / "checkpoint")
    (folder / "modeling.py").write_text("raise SystemExit('this must never run')\n")
    (folder / "pytorch_model.bin").write_bytes(b"anything")
    (folder / "training_args.pkl").write_bytes(b"anything")
    (folder / "README.md").write_text("# A model\n")
    return folder


@pytest.fixture
def sha(hub: LocalHub, folder: Path) -> str:
    return hub.push_folder(MODEL, folder, "model")


def changed(hub: LocalHub) -> str:
    """A newer commit of the model, with other weights."""
    return hub.push(
        MODEL, {"config.json": hub.files(MODEL, "model")["config.json"] + b"\n"}, "model"
    )


def test_it_is_pinned_and_nothing_that_could_run_is_downloaded(
    hub: LocalHub, sha: str, folder: Path
) -> None:
    source = resolve(MODEL, None)
    assert (source.model_id, source.revision) == (MODEL, sha)
    assert sorted(path.name for path in source.folder.iterdir()) == KEPT
    wanted = {call.path for call in hub.calls(match="/resolve/")}
    assert {path.rpartition("/")[2] for path in wanted} == set(KEPT)
    assert all(f"/resolve/{sha}/" in path for path in wanted)
    identity = identify(source)
    assert identity.revision == sha
    assert identity.weights_sha256 == identify(resolve(str(folder), None)).weights_sha256
    assert load(source).identity == identity


def test_a_branch_a_tag_and_a_sha(hub: LocalHub, sha: str) -> None:
    later = changed(hub)
    hub.repos["model", MODEL].tags["v1"] = sha
    for revision, expected in (("main", later), ("v1", sha), (sha, sha), (None, later)):
        assert resolve(MODEL, revision).revision == expected
        # a copy that is there costs two requests
        hub.forget_calls()
        assert resolve(MODEL, revision).revision == expected
        assert len(hub.calls()) <= 2
    # a sha that is here asks nothing of the network
    hub.forget_calls()
    assert resolve(MODEL, sha).revision == sha
    assert hub.calls() == []


def test_its_sha_is_recorded_in_what_is_made_with_it(
    hub: LocalHub, sha: str, tmp_path: Path
) -> None:
    settings = AtlasSettings.build(data_dir=str(tmp_path), model=MODEL)
    store = build_resources(settings)["store"]
    written = store.write("object_prompts", samples.object_prompts())
    assert written.provenance.lineage.model.model_id == MODEL
    assert written.provenance.lineage.model.revision == sha


@pytest.mark.slow
def test_revisions_are_a_series_with_an_atlas_of_each(hub: LocalHub, tmp_path: Path) -> None:
    weights = load_file(EMBEDDED / "model.safetensors")
    files = {name: (EMBEDDED / name).read_bytes() for name in BESIDE_WEIGHTS}
    random, shas = np.random.default_rng(0), {}
    for branch, trained in (("step1000", 0.5), ("step2000", 1.0)):
        mixed = {
            name: (trained * w + (1 - trained) * random.permuted(w)).astype(w.dtype)
            for name, w in weights.items()
        }
        pushed = files | {"model.safetensors": save(mixed, metadata={"format": "pt"})}
        shas[branch] = hub.push("someone/run", pushed, "model", branch=branch)
    given: dict[str, Any] = {
        "data_dir": str(tmp_path / "data"),
        "model": "someone/run",
        "model_revision": ",".join(shas),
        "ast_nodes": ["For", "Pass"],
        "builtins": ["list", "_isolated_"],
        "variations": 2,
        "loss_threshold": 20.0,  # early checkpoints lose every pair at the paper's
        "device": "cpu",
    }
    atlases = aa.build_series(**given)
    assert list(atlases) == list(shas)
    folders = {label: Path(str(atlas.folder)) for label, atlas in atlases.items()}
    for label, folder in folders.items():
        with h5py.File(folder / "12_object_activations.h5") as file:
            assert shas[label] in str(dict(file["metadata"].attrs))
    (table,) = (tmp_path / "data").rglob("circuits_over_training.csv")
    shown = pl.read_csv(table).filter(type="ast")
    assert shown["checkpoint"].to_list() == list(shas)
    assert shown["step"].to_list() == [1000, 2000]
    like_last = shown["jaccard_with_last"].to_list()
    assert like_last[0] < like_last[1] == 1
    assert table.with_name("figure_training.png").is_file()
    # done and fresh: nothing is run or downloaded again
    files_there = [file for file in folders["step1000"].iterdir() if file.is_file()]
    written = {file: file.stat().st_mtime_ns for file in files_there}
    hub.forget_calls()
    aa.build_series(**given)
    assert not hub.calls("GET", "/_cdn/")
    assert {file: file.stat().st_mtime_ns for file in files_there} == written


# the Hub stumbles --------------------------------------------------------------------------------


FAULTS: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "503": {"status": 503},
    "429": {"status": 429, "headers": {"Retry-After": "600"}},
    "dropped": {"drop": True},
    "page": {"status": 200, "body": ERROR_PAGE},
    "stalled": {"delay": 60},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_without_a_copy_it_is_an_error_and_a_stale_one_is_said_to_be_one(
    hub: LocalHub, sha: str, caplog: pytest.LogCaptureFixture, fault: dict[str, Any]
) -> None:
    client = hub.client(timeout=0.2 if "delay" in fault else 5.0)
    there = hub.fail("GET", "/api/models/", **fault, times=99)
    with pytest.raises(ModelError, match="not on this machine and the Hub does not answer") as said:
        resolve(MODEL, "main", client=client)
    assert said.value.where == f"{MODEL} at main"
    assert f"hf download {MODEL}" in str(said.value.remedy)
    assert hub.token not in str(said.value)
    there.times = 0
    resolve(MODEL, None)
    changed(hub)
    there.times = 99
    with caplog.at_level(logging.WARNING, logger="atlas_assets"):
        source = resolve(MODEL, None, client=client)
    assert source.revision == sha
    assert "the Hub does not answer" in caplog.text
    assert sha in caplog.text
    assert "may be stale" in caplog.text


def test_a_newer_one_that_cannot_be_downloaded(
    hub: LocalHub, sha: str, caplog: pytest.LogCaptureFixture
) -> None:
    resolve(MODEL, None)
    later = changed(hub)
    hub.fail("HEAD", "/resolve/", status=503, times=99)
    with caplog.at_level(logging.WARNING, logger="atlas_assets"):
        assert resolve(MODEL, None, client=hub.client()).revision == sha
    assert f"which is stale: the Hub has {later}" in caplog.text
    hub.faults.clear()
    assert resolve(MODEL, None).revision == later


def test_what_the_hub_refuses_is_not_taken_for_an_outage(hub: LocalHub, sha: str) -> None:
    resolve(MODEL, None)
    for fault, said in (
        ({"status": 401}, "HTTP 401"),
        ({"status": 403, "headers": {"X-Error-Code": "GatedRepo"}}, "gated"),
        ({"status": 404, "headers": {"X-Error-Code": "RepoNotFound"}}, "no such repository"),
        ({"status": 404, "headers": {"X-Error-Code": "RevisionNotFound"}}, "no such revision"),
    ):
        hub.forget_calls()
        hub.fail("GET", "/api/models/", **fault)
        with pytest.raises(ModelError, match=said):
            resolve(MODEL, None)
        assert len(hub.calls()) == 1


def test_a_repository_without_a_checkpoint_is_named(hub: LocalHub) -> None:
    hub.push("someone/words", {"README.md": b"# Words\n", "tokenizer.json": b"{}"}, "model")
    with pytest.raises(ModelError, match="holds no model") as said:
        resolve("someone/words", None)
    assert said.value.found == ".gitattributes, README.md, tokenizer.json"


def test_other_bytes_than_the_published_are_no_model(hub: LocalHub, sha: str) -> None:
    size = len(hub.files(MODEL, "model")["model.safetensors"])
    hub.fail("GET", "/_cdn/", status=200, body="x" * size, times=9)
    for _ in range(2):  # the second time, nothing unsound is in the cache either
        with pytest.raises(ModelError, match="bytes of SHA-256"):
            resolve(MODEL, None)
    hub.faults.clear()
    assert load(resolve(MODEL, None)).identity.revision == sha


def test_an_outage_in_the_middle_and_then_the_rest(hub: LocalHub, sha: str) -> None:
    hub.fail("HEAD", "/resolve/.*tokenizer.json", status=503, times=99)
    with pytest.raises(ModelError):
        resolve(MODEL, None, client=hub.client())
    hub.faults.clear()
    hub.forget_calls()
    assert resolve(MODEL, None).revision == sha
    assert not hub.calls("GET", "/_cdn/")


# without a network -------------------------------------------------------------------------------

RESOLVE = """
import logging, sys
from atlas_assets.models.sources import resolve
from atlas_assets.errors import ModelError
logging.basicConfig()
for model in sys.argv[1:]:
    try: print(resolve(model, None).revision)
    except ModelError as error: print(error)
"""


def test_offline_mode_uses_the_copy_and_sends_nothing(
    hub: LocalHub, sha: str, tmp_path: Path
) -> None:
    resolve(MODEL, None)
    hub.forget_calls()
    # in a process of its own: the Hub's client reads its settings when it is imported
    done = subprocess.run(
        [sys.executable, "-c", RESOLVE, MODEL, "someone/other"],
        env=hub.environment(tmp_path / "hf_home", HF_HUB_OFFLINE="1"),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.startswith(f"{sha}\n")
    assert "offline mode" in done.stderr
    assert "may be stale" in done.stderr
    for said in ("the model is not on this machine", "HF_HUB_OFFLINE", "hf download someone/other"):
        assert said in done.stdout
    assert hub.calls() == []


def test_nobody_answers(hub: LocalHub) -> None:
    hub.close()
    started = time.monotonic()
    with pytest.raises(ModelError, match="not on this machine and the Hub does not answer"):
        resolve(MODEL, None)
    assert time.monotonic() - started < 5


def test_looking_asks_the_cache_alone(hub: LocalHub, sha: str) -> None:
    with pytest.raises(ModelError, match="not on this machine"):
        resolve(MODEL, "v1", ask_hub=False)
    assert hub.calls() == []
    found = resolve(MODEL, None)
    hub.forget_calls()
    assert resolve(MODEL, None, ask_hub=False) == ModelSource(MODEL, found.folder, sha)
    assert hub.calls() == []
