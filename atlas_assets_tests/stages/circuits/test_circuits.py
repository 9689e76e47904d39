"""Circuits as a table and back; a file of one's own that is not about the atlas."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.circuits import circuits
from atlas_assets_tests.stages.random_atlas import concept_names, masks


def test_a_table_gives_the_circuits_back() -> None:
    drawn = masks(np.random.default_rng(0), concept_names(7))
    table = circuits.to_table(drawn)
    circuits.SCHEMA.check(table, where="the table")
    assert table.equals(table.sort("concept", "layer", "neuron"))
    wanted = [
        (name, layer, neuron)
        for row, name in enumerate(drawn.names)
        for layer in range(drawn.n_layers)
        for neuron in range(drawn.width)
        if drawn.bits[row, layer, neuron]
    ]
    assert table.rows() == wanted
    assert circuits.from_table(table, drawn, where="x").digest() == drawn.digest()


@pytest.mark.parametrize(
    ("column", "value"), [("concept", "ast__Nothing"), ("layer", 3), ("neuron", 24)]
)
def test_circuits_of_another_atlas_are_refused(column: str, value: object) -> None:
    drawn = masks(np.random.default_rng(0), concept_names(7))
    row = {"concept": drawn.names[0], "layer": 0, "neuron": 0, column: value}
    table = pl.DataFrame(row, schema=circuits.SCHEMA.polars)
    with pytest.raises(ArtifactError, match=f"mine.parquet, column '{column}'"):
        circuits.from_table(table, drawn, where="mine.parquet")
