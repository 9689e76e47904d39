"""The store on a full disk, in a folder it must not write, and killed while it writes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from atlas_assets.errors import ArtifactWriteError
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.codecs import codec_of
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.storage.bad_disks import (
    killed_at_every_step,
    largest_file,
    open_folder,
    read_only,
)
from atlas_assets_tests.storage.full_store import store_at
from atlas_assets_tests.storage.samples import SETTING, activations, equal, objects, sample


def everything_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def changed(key: str) -> tuple[Any, Setting | None]:
    """Another sound value for the first cell of an artifact."""
    if key == "object_activations":
        return activations(seed=5, width=400), None
    if key == "modularity_detail":
        return sample(key).reverse(), None
    return sample(key).with_columns(prompt_text=pl.lit("x" * 9000)), None


@pytest.mark.parametrize("key", ["object_activations", "modularity_detail", "object_prompts"])
def test_a_full_disk_leaves_the_atlas_as_it_was(store: AtlasStore, key: str) -> None:
    folder = Path(str(store.root))
    before = everything_in(folder)
    value, setting = changed(key)
    with largest_file(1500), pytest.raises(ArtifactWriteError, match="cannot write") as caught:
        store.write(key, value, setting)
    assert key in str(caught.value)
    assert everything_in(folder) == before
    assert equal(store.read(key, setting), sample(key))


@pytest.mark.parametrize("key", ["object_activations", "modularity_detail", "object_prompts"])
def test_a_read_only_data_dir_is_named_and_stays_readable(filled: Path, key: str) -> None:
    with open_folder() as folder:
        shutil.copytree(filled, folder / "atlas")
        (folder / "atlas" / ".provenance").chmod(0o555)
        store = store_at(folder / "atlas")
        value, setting = changed(key)
        with read_only(folder / "atlas"):
            with pytest.raises(ArtifactWriteError, match="Permission denied"):
                store.write(key, value, setting)
            assert equal(store.read(key, setting), sample(key))
        assert everything_in(folder / "atlas") == everything_in(filled)


def write_one(folder: Path, key: str) -> None:
    store_at(folder).write(key, sample(key), SETTING, inputs={})


def write_another(folder: Path, key: str) -> None:
    other = objects(width=8) if key == "object_masks" else sample(key)[:2]
    store_at(folder).write(key, other, SETTING, inputs={})


def payload(folder: Path, key: str) -> str:
    """Digest of the content of an artifact that reads soundly (with its own provenance)."""
    store = store_at(folder)
    value = store.read(key, SETTING)
    record = store.provenance(key, SETTING)
    assert record is not None
    assert record.payload_sha256 == codec_of(ARTIFACTS[key]).payload_digest(value)
    return record.payload_sha256


@pytest.mark.parametrize("key", ["object_masks", "target_checker"])
def test_a_killed_writer_leaves_a_sound_file(tmp_path: Path, key: str) -> None:
    states = killed_at_every_step(write_one, write_another, payload, tmp_path / "disk", key)
    assert len(set(states)) == 2
    assert states[0] != states[-1]
