"""The loaders fetch what an atlas with a source does not have."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from atlas_assets import io
from atlas_assets.atlas.open import open_in_force
from atlas_assets.errors import HubUnavailableError, MissingArtifactError, ProvenanceError
from atlas_assets.hub.fetch import fetch_missing
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.setting import REFERENCE
from atlas_assets.storage import source_record
from atlas_assets_tests import sample_atlas
from atlas_assets_tests.hub import fetching
from atlas_assets_tests.hub.fetching import MASKS
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.release_repo import REPO
from atlas_assets_tests.storage import samples


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / fetching.FOLDER


@pytest.fixture
def in_force(hub: LocalHub, sha: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHub:
    """The fetched atlas is the one in force in this process, and nothing of it is here yet."""
    for name, value in fetching.variables(tmp_path, ATLAS_HUB_SOURCE=REPO).items():
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
    # what belongs together is fetched at one commit
    in_force.push(REPO, {f"tables/14_target_checker_{REFERENCE.file_tag}.csv": b"newer\n"})
    assert io.load_target_checker().equals(samples.target_checker())
    # what the source does not have either
    with pytest.raises(MissingArtifactError, match=r"no object_masks at ε=0\.3"):
        io.load_universal_masks(eps=0.3, cons=0.8)


def test_without_a_source_or_with_a_folder_that_is_named_nothing_is_asked(
    in_force: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "given").mkdir()
    with pytest.raises(MissingArtifactError):
        io.load_summary(data_root=tmp_path / "given")
    monkeypatch.delenv("ATLAS_HUB_SOURCE")
    with pytest.raises(MissingArtifactError):
        io.load_summary()
    assert in_force.calls() == []


def test_a_computed_atlas_is_not_mixed_into(
    in_force: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = sample_atlas.make(tmp_path / "data")
    shutil.rmtree(store.path("summary").parent / ".provenance")
    store.path("summary").unlink()
    monkeypatch.setenv("ATLAS_NAME", sample_atlas.NAME)
    with pytest.raises(ProvenanceError, match="would mix") as refused:
        io.load_summary()
    assert "ATLAS_HUB_SOURCE" in str(refused.value)


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
import os, sys
from atlas_assets import io
assert not {'huggingface_hub', 'torch', 'dagster'} & set(sys.modules)
print(io.load_summary().height)
os.environ['ATLAS_HUB_SOURCE'] = 'someone/else'
try: io.load_summary()
except Exception as error: print(type(error).__name__, error)
"""


def test_offline_mode(in_force: LocalHub, tmp_path: Path, folder: Path) -> None:
    """What was downloaded comes from the cache, anything else is an error; nothing is sent."""
    io.load_summary()
    shutil.rmtree(folder)
    in_force.forget_calls()
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        env=fetching.environment(in_force, tmp_path, ATLAS_HUB_SOURCE=REPO, HF_HUB_OFFLINE="1"),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("2\nHubPermanentError")
    assert "HF_HUB_OFFLINE" in done.stdout
    assert in_force.calls() == []
