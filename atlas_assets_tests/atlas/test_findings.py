"""The sentences on an atlas say what its tables say, and leave out what is not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl

from atlas_assets.atlas.findings import findings, most_distinct
from atlas_assets.atlas.open import open_folder
from atlas_assets.stages.analyses.circuit_distinctness import distinctness
from atlas_assets.stages.report.page import as_script
from atlas_assets.stages.setting import REFERENCE, Setting
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.sample_atlas import NAME, data, made

__all__ = ["data", "made"]


def with_distinctness(made: Path, folder: Path, changes: dict[float, int]) -> AtlasStore:
    """A copy with the table; of some ε the number of different circuits is another."""
    shutil.copytree(made / NAME, folder)
    store = open_folder(folder)
    tables = [
        distinctness(setting, store.read("object_masks", setting, part="universal").universal)
        for setting in store.sweep
    ]
    table = pl.concat(tables)
    for epsilon, distinct in changes.items():
        here = pl.col("epsilon") == epsilon
        number = pl.when(here).then(distinct).otherwise("distinct").cast(pl.Int64)
        table = table.with_columns(distinct=number)
    store.write("circuit_distinctness", table)
    return store


def test_nothing_is_said_of_what_is_not_there(made: Path) -> None:
    store = open_folder(made / NAME)
    assert most_distinct(store) is None
    assert findings(store) == []


def test_the_findings_are_those_of_the_page(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / NAME, tmp_path / "one")
    store = open_folder(tmp_path / "one")
    told = [{"topic": "core", "text": "It’s <so>."}, {"topic": "token", "text": "And so."}]
    data = as_script({"findings": told})
    page = f'<!doctype html><script id="atlas" type="application/json">{data}</script></html>'
    store.write("atlas_report", page, inputs={})
    assert findings(store) == ["It’s <so>.", "And so."]


def test_the_setting_of_the_most_different_circuits(made: Path, tmp_path: Path) -> None:
    store = with_distinctness(made, tmp_path / "one", {0.1: 2, 0.5: 1})
    assert most_distinct(store) == (Setting(0.1, 0.8), 2.0)
    equal = with_distinctness(made, tmp_path / "equal", {0.1: 2, 0.5: 2})
    assert most_distinct(equal) == (REFERENCE, 2.0)
