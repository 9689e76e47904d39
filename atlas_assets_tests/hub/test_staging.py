"""What is staged: the sound files of an atlas, and why the others are left out."""

from __future__ import annotations

import fcntl
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import h5py
import polars as pl
import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.hub.card import render
from atlas_assets.hub.manifest import Manifest
from atlas_assets.hub.staging import Stage, staged
from atlas_assets.stages.circuits import circuits
from atlas_assets.stages.setting import Definition
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.publishing import REPO, Atlas
from atlas_assets_tests.soundness import sound_atlas


def test_what_is_not_fit_is_left_out_with_its_reason(
    hub: LocalHub, atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    atlas.rename_a_prompt()
    with atlas.store.path("modularity_scores").open("ab") as file:
        file.write(b"ast__While,ast,0,0,0,0\n")
    published = atlas.publish(hub.client())
    # the copies are gone
    assert list((tmp_path / "tmp").glob("atlas-*")) == []
    reasons = {file.name: file.reason for file in published.left_out if file.present}
    assert reasons.keys() == {"token_checker_masks.h5", "relaxed_modularity_scores.csv"}
    assert "token_checker_prompts has changed since" in reasons["token_checker_masks.h5"]
    assert "edited after it was written" in reasons["relaxed_modularity_scores.csv"]
    assert str(atlas.store.root) not in str(reasons) and "atlas-publish-" not in str(reasons)
    assert not set(reasons) & set(hub.files(REPO))
    missing = {file.name for file in published.left_out if not file.present}
    assert "claims.md" in missing


def test_an_atlas_without_a_sound_file_is_refused(hub: LocalHub, atlas: Atlas) -> None:
    atlas.store.path("summary").write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match="nothing to publish"):
        atlas.publish(hub.client(), cells={("summary", None)})
    assert hub.calls() == []


def test_one_odd_file_is_left_out_and_the_others_are_published(atlas: Atlas, stage: Stage) -> None:
    root = Path(str(atlas.store.root))
    Path(str(atlas.store.path("claims_report"))).mkdir()
    (root.parent / "secret").write_text("a text of the user's\n")
    Path(str(atlas.store.path("atlas_report"))).symlink_to(root.parent / "secret")
    scores = root / "relaxed_modularity_scores.csv"
    (record,) = (root / ".provenance").glob(f"{scores.name}.*.json")
    record.unlink()
    os.mkfifo(record)
    (root / ".provenance" / "old.json").mkdir()
    os.mkfifo(root / ".provenance" / "older.json")
    locked = root / "14_summary.csv"
    with locked.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with staged(atlas.store, atlas.settings) as without:
            reasons = {file.name: file.reason for file in without.left_out if file.present}
    assert reasons.keys() == {"claims.md", "atlas_explorer.html", scores.name, locked.name}
    for name, found in (
        ("claims.md", "a folder, a pipe or a device"),
        (scores.name, "a folder, a pipe or a device"),
        (locked.name, "open elsewhere"),
        ("atlas_explorer.html", "a symbolic link"),
    ):
        assert found in reasons[name] and str(root) not in reasons[name]
    published = {file.path for file in without.manifest.files}
    assert published >= {f.path for f in stage.manifest.files if f.asset == "object_masks"}
    whole = {
        f.path for f in stage.manifest.files if f.asset not in ("summary", "modularity_scores")
    }
    assert published == whole


def test_a_setting_off_the_sweep_is_not_published(atlas: Atlas, tmp_path: Path) -> None:
    settings = sound_atlas.settings_in(tmp_path / "data", epsilons="0.5", consistencies="0.8")
    with staged(replace(atlas.store, sweep=settings.sweep), settings) as stage:
        published = {f.partition for f in stage.manifest.files if f.asset == "object_masks"}
        left = {file.name: file.reason for file in stage.left_out if file.asset == "object_masks"}
    assert published == {"0.8|0.5"}
    assert set(left.values()) == {"its setting is not in the sweep"} and len(left) == 3
    assert not any(file.unfit for file in stage.left_out if file.asset == "object_masks")


def test_circuits_not_in_force_are_left_out_in_words_and_are_no_finding(atlas: Atlas) -> None:
    table = pl.DataFrame(schema=circuits.SCHEMA.polars)
    atlas.store.write("circuits", table, Definition("own"), inputs={})
    with staged(atlas.store, atlas.settings) as stage:
        (own,) = [file for file in stage.left_out if file.name == "circuits_own.parquet"]
    assert own.reason == "its definition is not in force"
    assert own.present and not own.unfit


def test_staging_twice_gives_the_same_bytes(stage: Stage, tmp_path: Path) -> None:
    store, settings = sound_atlas.make(tmp_path), sound_atlas.settings_in(tmp_path)
    with staged(store, settings) as again:
        assert again.manifest.to_bytes() == stage.manifest.to_bytes()
        assert again.rows == stage.rows


def test_a_check_that_compared_nothing_is_named(atlas: Atlas, stage: Stage) -> None:
    assert stage.not_compared == ()
    atlas.store.path("object_prompts").unlink()
    with staged(atlas.store, atlas.settings) as without:
        published = {record.path for record in without.manifest.files}
        assert without.not_compared
        for check in without.not_compared:
            assert check.name in published and check.check
            assert check.reason.startswith("not compared: ")
            assert str(without.folder) not in check.reason


def test_a_file_of_unknown_origin_is_said_to_be(atlas: Atlas) -> None:
    with h5py.File(str(atlas.store.path("universal_masks")), "r+") as file:
        del file["metadata"].attrs["provenance"]
    with staged(atlas.store, atlas.settings, {("universal_masks", None)}) as stage:
        (record,) = [file for file in stage.manifest.files if file.asset == "universal_masks"]
    assert record.origin == "unknown" and record.is_of_unknown_origin
    assert stage.manifest.version.startswith("atlas-unknown-")
    assert Manifest.from_bytes(stage.manifest.to_bytes(), where="x") == stage.manifest
    assert "| of unknown origin | – | – |" in render("", stage.manifest, REPO)
