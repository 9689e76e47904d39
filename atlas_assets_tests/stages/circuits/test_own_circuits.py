"""A user's own file of circuits is read as it is meant, or refused in words."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from atlas_assets.errors import ArtifactError, AtlasError, SettingsError
from atlas_assets.stages.circuits.own_circuits import read_own
from atlas_assets.stages.masks.masks import Masks

LIKE = Masks(("ast__For", "ast__If", "builtin__len"), np.zeros((3, 2, 5), np.bool_))
ROWS = pl.DataFrame(
    {"concept": ["ast__If", "ast__For", "ast__If"], "layer": [1, 0, 0], "neuron": [4, 2, 0]}
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "own.parquet"


@pytest.mark.parametrize("layer", [pl.Int64(), pl.UInt8(), pl.Int16()])
def test_circuits_are_read_whatever_else_is_in_the_file(path: Path, layer: pl.DataType) -> None:
    shuffled = ROWS.with_columns(
        pl.col("layer").cast(layer), score=0.5, concept=pl.col("concept").cast(pl.Categorical)
    )
    shuffled.select("score", "neuron", "concept", "layer").write_parquet(path)
    found = read_own(str(path), LIKE)
    assert found.names == LIKE.names
    assert np.argwhere(found.bits).tolist() == [[0, 0, 2], [1, 0, 0], [1, 1, 4]]


def changed(**columns: pl.Expr) -> Callable[[Path], object]:
    return lambda path: ROWS.with_columns(**columns).write_parquet(path)


def text(path: Path) -> None:
    path.write_text("concept,layer,neuron")


def without_layers(path: Path) -> None:
    ROWS.drop("layer").write_parquet(path)


FLAWS: dict[str, tuple[Callable[[Path], object], type[AtlasError], str]] = {
    "missing": (lambda _: None, SettingsError, "No such file"),
    "folder": (lambda path: path.mkdir(), SettingsError, "a folder, a pipe or a device"),
    "pipe": (lambda path: os.mkfifo(path), SettingsError, "a folder, a pipe or a device"),
    "text": (
        lambda path: path.write_text("concept,layer,neuron"),
        SettingsError,
        "complete parquet",
    ),
    "fractions": (changed(neuron=pl.col("neuron") + 0.7), SettingsError, "whole numbers"),
    "truths": (changed(layer=pl.col("layer") > 0), SettingsError, "whole numbers"),
    "no layer": (
        lambda path: ROWS.drop("layer").write_parquet(path),
        SettingsError,
        "a column 'layer'",
    ),
    "absent": (changed(neuron=pl.lit(None, pl.Int64)), SettingsError, "row 0"),
    "twice": (lambda path: pl.concat([ROWS, ROWS]).write_parquet(path), SettingsError, "row 3"),
    "below 0": (changed(neuron=-pl.col("neuron")), ArtifactError, "a neuron from 0 to 4"),
    "too deep": (changed(layer=pl.lit(2)), ArtifactError, "a layer from 0 to 1"),
    "unknown": (
        changed(concept=pl.lit("For")),
        ArtifactError,
        "concepts of the atlas, as 'ast__For'",
    ),
    "huge": (changed(neuron=pl.lit(2**63, pl.UInt64)), SettingsError, "by their numbers, from 0"),
    "lfs": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"),
        SettingsError,
        "git lfs pull",
    ),
}


@pytest.mark.parametrize(("write", "kind", "said"), FLAWS.values(), ids=FLAWS.keys())
def test_what_is_not_meant_so_is_refused(
    path: Path, write: Callable[[Path], object], kind: type[AtlasError], said: str
) -> None:
    write(path)
    with pytest.raises(kind) as caught:
        read_own(str(path), LIKE)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.remedy
