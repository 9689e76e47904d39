from __future__ import annotations

import hashlib
import importlib
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from atlas_assets.checkpoints.sources import HUB_PATTERNS, ModelSource
from atlas_assets.errors import ModelError
from atlas_assets.models.loading import default_loss_threshold, identify, load, resolve
from atlas_assets_tests.models import tiny

SHA = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """Stands in for the two calls that reach the Hub; notes what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.cached = folder / SHA
        self.failure: Exception | None = None
        self.stale = False
        self.asked: list[tuple[str, Any]] = []

    def model_info(self, _model: str, *, revision: str | None, timeout: float, **_: Any) -> Any:
        self.asked.append(("info", revision))
        assert timeout <= 10
        if self.failure is not None:
            raise self.failure
        return SimpleNamespace(sha=SHA)

    def snapshot_download(self, _model: str, *, revision: str, **options: Any) -> str:
        local = options.get("local_files_only", False)
        self.asked.append(("cache" if local else "download", revision))
        assert options["allow_patterns"] == list(HUB_PATTERNS)
        if local and not self.cached.is_dir():
            raise LocalEntryNotFoundError("not cached")
        folder = self.cached
        if self.stale and revision != SHA:
            folder = self.cached.with_name("f" * 40)
        if not folder.is_dir():
            tiny.write(folder)
        return str(folder)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(tmp_path)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: fake)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.snapshot_download)
    return fake


def response() -> Any:
    httpx = pytest.importorskip("httpx2", reason="huggingface_hub's HTTP client; install it")
    return httpx.Response(404, request=httpx.Request("GET", "http://hub/"))


# folders -----------------------------------------------------------------------------------------


def test_a_folder_is_known_by_its_name_and_digests(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path / "my-model")
    source = resolve(str(folder), None)
    assert source == ModelSource("my-model", folder)
    identity = identify(source)
    assert (identity.model_id, identity.revision) == ("my-model", None)
    for found, name in (
        (identity.weights_sha256, "model.safetensors"),
        (identity.tokenizer_sha256, "tokenizer.json"),
    ):
        assert found == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert load(source).identity == identity


def test_changed_weights_change_the_digest(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path)
    before = identify(resolve(str(folder), None))
    tiny.write(tmp_path, weights=tiny.tensors(tiny.network(seed=1)))
    after = identify(resolve(str(folder), None))
    assert before.weights_sha256 != after.weights_sha256
    assert before.tokenizer_sha256 == after.tokenizer_sha256


def test_the_digest_of_shards_is_that_of_their_concatenation(tmp_path: Path) -> None:
    tiny.network().save_pretrained(tmp_path, max_shard_size="20KB")
    tiny.byte_tokenizer().save(str(tmp_path / "tokenizer.json"))
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) > 1
    expected = hashlib.sha256(b"".join(path.read_bytes() for path in shards)).hexdigest()
    assert identify(resolve(str(tmp_path), None)).weights_sha256 == expected


def test_a_folder_has_no_revision(tmp_path: Path) -> None:
    for model in (str(tmp_path), "embedded"):
        with pytest.raises(ModelError, match="revision 'v1'"):
            resolve(model, "v1")


def test_the_loss_threshold_is_read_without_the_network(tmp_path: Path) -> None:
    plain = tiny.write(tmp_path / "plain")
    own = tiny.write(tmp_path / "own", {**tiny.OPTIONS, "loss_threshold": 7})
    assert default_loss_threshold(resolve(str(plain), None)) is None
    assert default_loss_threshold(resolve(str(own), None)) == 7.0


@pytest.mark.parametrize("model", ["./nowhere", "/nowhere/at/all", "a/b/c", "~/nowhere", "a b"])
def test_what_is_neither_a_folder_nor_a_hub_id(hub: FakeHub, model: str) -> None:
    with pytest.raises(ModelError, match="there is no such model") as caught:
        resolve(model, None)
    assert caught.value.where == model
    assert hub.asked == []


# the Hub -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", [None, "v1.0", SHA])
def test_a_hub_model_is_pinned_to_its_sha(hub: FakeHub, revision: str | None) -> None:
    source = resolve("someone/model", revision)
    assert source == ModelSource("someone/model", hub.cached, SHA)
    assert hub.asked[-2:] == [("info", revision), ("download", revision or "main")]
    assert identify(source).revision == SHA


def test_an_older_copy_is_not_taken_for_the_newest(hub: FakeHub) -> None:
    hub.stale = True
    assert resolve("someone/model", None) == ModelSource("someone/model", hub.cached, SHA)
    assert hub.asked[-2:] == [("download", "main"), ("download", SHA)]


def test_a_cached_sha_asks_nothing_of_the_network(hub: FakeHub) -> None:
    tiny.write(hub.cached)
    assert resolve("someone/model", SHA).revision == SHA
    assert hub.asked == [("cache", SHA)]


def test_offline_the_cached_copy_is_used_and_named(
    hub: FakeHub, caplog: pytest.LogCaptureFixture
) -> None:
    tiny.write(hub.cached)
    hub.failure = ConnectionError("no network")
    with caplog.at_level(logging.WARNING, logger="atlas_assets"):
        assert resolve("someone/model", None).revision == SHA
    assert hub.asked == [("info", None), ("cache", "main")]
    assert SHA in caplog.text


def test_looking_asks_the_cache_alone(hub: FakeHub) -> None:
    with pytest.raises(ModelError, match="not on this machine"):
        resolve("someone/model", "v1", ask_hub=False)
    tiny.write(hub.cached)
    source = resolve("someone/model", None, ask_hub=False)
    assert source == ModelSource("someone/model", hub.cached, SHA)
    assert hub.asked == [("cache", "v1"), ("cache", "main")]


def test_offline_and_not_cached(hub: FakeHub) -> None:
    hub.failure = ConnectionError("no network")
    with pytest.raises(ModelError, match="ConnectionError: no network") as caught:
        resolve("someone/model", "v1")
    assert caught.value.where == "someone/model at v1"
    assert "hf download someone/model" in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (RepositoryNotFoundError, "no such repository"),
        (GatedRepoError, "gated"),
        (RevisionNotFoundError, "no revision 'v1'"),
    ],
)
def test_what_the_hub_refuses(hub: FakeHub, kind: type[Exception], found: str) -> None:
    hub.failure = kind("no", response=response())
    with pytest.raises(ModelError, match=found):
        resolve("someone/model", "v1")
    assert hub.asked == [("info", "v1")]


def test_nothing_that_could_run_is_downloaded() -> None:
    names = ["modeling.py", "pytorch_model.bin", "model.ckpt", "training_args.pt", "x.pkl", "a.h5"]
    kept = huggingface_hub.utils.filter_repo_objects(names, allow_patterns=list(HUB_PATTERNS))
    assert list(kept) == []


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python code in a process of its own: the Hub's client reads its settings when imported."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NO_PROXY": "*", "HF_HUB_DISABLE_XET": "1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


DOWNLOAD = """
from huggingface_hub import HfApi
from atlas_assets.models.loading import identify, load, resolve
folder, url = {folder!r}, {url!r}
api = HfApi(url, token="hf_test")
api.create_repo("someone/model")
commit = api.upload_folder(repo_id="someone/model", folder_path=folder)
source = resolve("someone/model", None)
assert source.revision == commit.oid, source
names = sorted(path.name for path in source.folder.iterdir())
assert names == ["config.json", "model.safetensors", "tokenizer.json"], names
assert load(source).identity.revision == commit.oid
assert identify(source).weights_sha256 == identify(resolve(folder, None)).weights_sha256
"""
AGAIN = """
import logging
from atlas_assets.errors import ModelError
from atlas_assets.models.loading import resolve
logging.basicConfig()
source = resolve("someone/model", None)
assert (source.folder / "model.safetensors").is_file()
try: resolve("someone/other", None)
except ModelError as error: print(error)
"""


def test_the_real_client_downloads_pins_and_then_works_offline(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(shared / "tools")
    hub_module = importlib.import_module("fake_hub")
    folder = tiny.write(tmp_path / "model")
    (folder / "modeling.py").write_text("raise SystemExit('this must never run')\n")
    (folder / "pytorch_model.bin").write_bytes(b"anything")
    home = str(tmp_path / "home")
    with hub_module.Hub() as hub:
        code = DOWNLOAD.format(folder=str(folder), url=hub.url)
        done = run(code, HF_ENDPOINT=hub.url, HF_HOME=home)
        assert done.returncode == 0, done.stderr
    done = run(AGAIN, HF_HUB_OFFLINE="1", HF_HOME=home)
    assert done.returncode == 0, done.stderr
    assert "the Hub does not answer (OfflineModeIsEnabled)" in done.stderr
    assert "hf download someone/other" in done.stdout


def test_the_real_client_gives_up_within_seconds(tmp_path: Path) -> None:
    code = (
        "from atlas_assets.checkpoints.sources import resolve\n"
        "from atlas_assets.errors import ModelError\n"
        "try: resolve('someone/model', None)\n"
        "except ModelError as error: raise SystemExit(str(error))\n"
    )
    started = time.monotonic()
    # port 9 (discard) of the loopback: nobody answers there
    done = run(code, HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "the model is not on this machine and the Hub does not answer" in done.stderr
    assert "hf download someone/model" in done.stderr
    assert time.monotonic() - started < 45  # nearly all of it is importing, on a busy machine
