"""Which checks the files of an atlas fail, as they lie on disk."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from atlas_assets.soundness.inspection import SCHEMA, Inspection, MaskReader, failed_checks, judge
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.storage.store import AtlasStore


def test_a_sound_atlas_fails_none_and_a_failed_check_is_named(store: AtlasStore) -> None:
    assert failed_checks(store) == []
    path = Path(str(store.path("summary")))
    path.write_bytes(path.read_bytes()[:-20])
    assert "summary schema" in failed_checks(store)


def test_a_table_that_disagrees_with_its_inputs_fails(store: AtlasStore) -> None:
    table = store.read("summary")
    store.write("summary", table.with_columns(pl.col("n_ast") + 1, pl.col("n_testable") + 1))
    assert failed_checks(store) == ["summary agrees_with_inputs"]


def test_what_cannot_be_compared_is_neither_passed_nor_failed(store: AtlasStore) -> None:
    store.path("target_checker", store.sweep[0]).unlink()
    (check,) = ARTIFACTS["summary"].checks
    inspection = Inspection(store, MaskReader(), "summary")
    assert judge(check, inspection).state == "not compared"
    assert judge(SCHEMA, inspection).state == "passed"
    assert failed_checks(store) == []
