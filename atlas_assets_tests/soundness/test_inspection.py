"""Which checks the files of an atlas fail, as they lie on disk."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from atlas_assets.soundness.inspection import SCHEMA, Inspection, MaskReader, failed_checks, judge
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets_tests.soundness import sound_atlas


def test_a_sound_atlas_fails_none(tmp_path: Path) -> None:
    assert failed_checks(sound_atlas.make(tmp_path)) == []


def test_a_failed_check_is_named(tmp_path: Path) -> None:
    store = sound_atlas.make(tmp_path)
    path = Path(str(store.path("summary")))
    path.write_bytes(path.read_bytes()[:-20])
    assert "summary schema" in failed_checks(store)


def test_a_table_that_disagrees_with_its_inputs_fails(tmp_path: Path) -> None:
    store = sound_atlas.make(tmp_path)
    table = store.read("summary")
    store.write("summary", table.with_columns(pl.col("n_ast") + 1, pl.col("n_testable") + 1))
    assert failed_checks(store) == ["summary agrees_with_inputs"]


def test_what_cannot_be_compared_is_neither_passed_nor_failed(tmp_path: Path) -> None:
    store = sound_atlas.make(tmp_path)
    store.path("target_checker", store.sweep[0]).unlink()
    (check,) = ARTIFACTS["summary"].checks
    inspection = Inspection(store, MaskReader(), "summary")
    assert judge(check, inspection).state == "not compared"
    assert judge(SCHEMA, inspection).state == "passed"
    assert failed_checks(store) == []
