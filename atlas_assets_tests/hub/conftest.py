"""A local Hub, and an environment in which only it is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants as hub_constants
from upath import UPath

from atlas_assets.hub.staging import Stage
from atlas_assets.storage.provenance import Lineage
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.hub import release_repo
from atlas_assets_tests.hub.built_atlas import Built, build, copy_of, opened
from atlas_assets_tests.hub.fetching import Get
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.publishing import FEW, Publisher, small_stage


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


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A small atlas, staged; nobody changes it."""
    with small_stage(tmp_path_factory.mktemp("staged")) as staged:
        yield staged


@pytest.fixture(scope="session")
def changed_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The same with another content in one of its tables."""
    with small_stage(tmp_path_factory.mktemp("changed"), changed=True) as staged:
        yield staged


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A few files of a small atlas, staged; nobody changes it."""
    with small_stage(tmp_path_factory.mktemp("few"), cells=FEW) as staged:
        yield staged


@pytest.fixture
def publisher(hub: LocalHub, stage: Stage) -> Publisher:
    """The small atlas, and an empty Hub."""
    return Publisher(hub, stage)


@pytest.fixture(scope="session")
def built_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny atlas that Dagster built, with Dagster's memory of it; nobody changes it."""
    folder = tmp_path_factory.mktemp("built")
    build(folder)
    return folder


@pytest.fixture
def built(built_folder: Path) -> Iterator[Built]:
    """It, to be looked at."""
    with opened(built_folder) as atlas:
        yield atlas


@pytest.fixture
def own(built_folder: Path, tmp_path: Path) -> Iterator[Built]:
    """A copy of it, to be changed."""
    with copy_of(built_folder, tmp_path / "own") as atlas:
        yield atlas


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
