"""A local Hub, and an environment in which only it is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants as hub_constants
from upath import UPath

from atlas_assets.atlas.open import open_with_model
from atlas_assets.hub.staging import Stage, staged
from atlas_assets.storage.provenance import Lineage
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.hub import release_repo
from atlas_assets_tests.hub.fetching import Get
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.publishing import FEW, Atlas, Publisher
from atlas_assets_tests.soundness import sound_atlas


def only(hub: LocalHub, home: Path, monkeypatch: pytest.MonkeyPatch, *, xet: bool) -> None:
    """Makes ``hub`` the Hub of this process and of its subprocesses, with a cache in ``home``."""
    for name, value in hub.environment(home, xet=xet).items():
        if name.startswith("HF_") or name == "NO_PROXY":
            monkeypatch.setenv(name, value)
    # huggingface_hub has read its variables when it was imported
    constants: dict[str, object] = {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_HUB_DISABLE_XET": not xet,
    }
    for constant, as_read in constants.items():
        monkeypatch.setattr(hub_constants, constant, as_read)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A running Hub, the only one there is for this process and its subprocesses; xet is off."""
    with LocalHub() as running:
        only(running, tmp_path / "hf_home", monkeypatch, xet=False)
        yield running


@pytest.fixture
def xet_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """As `hub`, with xet on: the real hf_xet, whose store is a directory."""
    pytest.importorskip("hf_xet", reason="xet transfers need hf_xet; pip install hf_xet")
    with LocalHub(xet_dir=tmp_path / "xet") as running:
        only(running, tmp_path / "hf_home", monkeypatch, xet=True)
        yield running


@pytest.fixture
def atlas(sound: Path, tmp_path: Path) -> Atlas:
    """A copy of it, to be changed."""
    return Atlas.copy_of(sound, tmp_path / "data")


@pytest.fixture(scope="session")
def stage(sound: Path) -> Iterator[Stage]:
    """It, staged; nobody changes it."""
    settings = sound_atlas.settings_in(sound)
    with staged(open_with_model(settings), settings) as found:
        yield found


@pytest.fixture(scope="session")
def few(sound: Path) -> Iterator[Stage]:
    """A few files of it, staged; nobody changes them."""
    settings = sound_atlas.settings_in(sound)
    with staged(open_with_model(settings), settings, FEW) as found:
        yield found


@pytest.fixture
def publisher(hub: LocalHub, stage: Stage) -> Publisher:
    """The small atlas, and an empty Hub."""
    return Publisher(hub, stage)


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files as the paper's release has them; nobody changes them."""
    return release_repo.write(tmp_path_factory.mktemp("release"))


@pytest.fixture
def sha(hub: LocalHub, release: Path) -> str:
    """The paper's repository is on the Hub, at this commit."""
    return hub.push_folder(release_repo.REPO, release)


@pytest.fixture
def store(tmp_path: Path) -> AtlasStore:
    """An empty folder for an atlas."""
    return AtlasStore(UPath(tmp_path / "atlas"), Lineage, release_repo.SWEEP)


@pytest.fixture
def get(hub: LocalHub, store: AtlasStore) -> Get:
    """Fetches from the paper's repository into `store`."""
    return Get(hub, store)
