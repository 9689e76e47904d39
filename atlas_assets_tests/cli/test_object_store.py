"""Every command that reads says of an atlas at a URL what it says of the same on a disk."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from upath import UPath

from atlas_assets import io
from atlas_assets.hub.staging import staged
from atlas_assets.stages.setting import REFERENCE
from atlas_assets.storage.provenance import Lineage
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.cli.conftest import Call
from atlas_assets_tests.hub import release_repo
from atlas_assets_tests.hub.fetching import Get, states
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.publishing import FEW, Atlas

STORE = "memory://cli"
READING = (
    ("status", "--json"),
    ("status", "--verify"),
    ("where",),
    ("show", "For", "--json"),
    ("claims",),
    ("leaderboard",),
)


def copied(folder: Path, url: str) -> UPath:
    """A copy of a folder and all in it at a URL."""
    for path in folder.rglob("*"):
        if path.is_file():
            there = UPath(url) / path.relative_to(folder).as_posix()
            there.fs.pipe_file(there.path, path.read_bytes())
    return UPath(url)


@pytest.fixture(scope="module")
def store(made: Path) -> str:
    copied(made, STORE)
    return STORE


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_a_command_says_the_same_of_an_atlas_at_a_url(
    made: Path, store: str, call: Call, command: tuple[str, ...]
) -> None:
    here, there = (call(place, *command) for place in (made, store))
    told = there.out.replace(f"{store}/", f"{made}/")
    assert told == here.out
    assert there.code == here.code


def test_a_copy_of_the_explorer_of_an_atlas_at_a_url_is_opened(
    made: Path, call: Call, tmp_path: Path
) -> None:
    page = "<!doctype html><title>a page</title>"
    data = shutil.copytree(made, tmp_path / "data")
    (data / "sample" / "atlas_explorer.html").write_text(page)
    url = copied(data, "memory://opened")
    shown = call(url, "open", "--print", work_dir=str(tmp_path / "work"))
    assert shown.code == 0, shown.err
    copy = Path(shown.out.strip().removeprefix("file://"))
    assert copy.is_relative_to(tmp_path / "work")
    assert copy.read_text() == page


def test_atlases_at_urls_are_compared(made: Path, store: str, call: Call) -> None:
    names = ("sample", "other")
    here = call(made, "diff", *(f"{made}/{name}" for name in names), "--json")
    there = call(store, "diff", *(f"{store}/{name}" for name in names), "--json")
    assert there.out.replace(store, str(made)) == here.out
    assert there.code == here.code == 1


def test_loaders_read_from_a_url(made: Path, store: str) -> None:
    for load in (io.load_universal_masks, io.load_summary, io.load_prompts):
        here, there = (load(data_root=f"{place}/sample") for place in (made, store))
        assert str(here) == str(there)


def test_files_are_fetched_into_a_folder_at_a_url(hub: LocalHub, sha: str, release: Path) -> None:
    place = AtlasStore(UPath("memory://fetched"), Lineage, release_repo.SWEEP)
    get = Get(hub, place)
    outcomes = get("object_masks", "summary")
    assert set(states(outcomes).values()) == {"fetched"}
    published = {path.name: path.read_bytes() for path in release.rglob("*.*")}
    for name, outcome in outcomes.items():
        assert (place.root / name).read_bytes() == published[name]
        assert outcome.record is not None and outcome.record.revision == sha
    assert set(states(get("object_masks", "summary")).values()) == {"unchanged"}
    assert place.read("object_masks", REFERENCE).setting == REFERENCE


def test_an_atlas_at_a_url_is_staged_as_one_on_a_disk(sound: Path, tmp_path: Path) -> None:
    atlas = Atlas.copy_of(sound, tmp_path / "data")
    url = copied(Path(str(atlas.store.root)), "memory://published")
    remote = replace(atlas.store, root=url)
    with (
        staged(atlas.store, atlas.settings, FEW) as here,
        staged(remote, atlas.settings, FEW) as stage,
    ):
        assert stage.manifest.to_bytes() == here.manifest.to_bytes()
        for path in here.manifest.paths:
            assert stage.file(path).read_bytes() == here.file(path).read_bytes()
