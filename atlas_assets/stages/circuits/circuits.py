"""A circuit as a set of neurons, and the tidy table that keeps the circuits of a definition."""

from __future__ import annotations

import numpy as np
import polars as pl

from atlas_assets.errors import ArtifactError
from atlas_assets.stages import columns as col
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.schema import TableSchema

SCHEMA = TableSchema(
    columns=(
        col.concept("concept", "concept"),
        col.LAYER,
        col.count("neuron", "neuron of the layer, from 0"),
    ),
    key=("concept", "layer", "neuron"),
)


def to_table(circuits: Masks) -> pl.DataFrame:
    """Return the neurons of all circuits, a row each, sorted: columns ``SCHEMA``."""
    concepts, layers, neurons = np.nonzero(circuits.bits)
    names = np.array(circuits.names, dtype=object)
    columns = {"concept": names[concepts], "layer": layers, "neuron": neurons}
    return pl.DataFrame(columns, schema=SCHEMA.polars)


def from_table(table: pl.DataFrame, like: Masks, *, where: str) -> Masks:
    """Return the circuits of the concepts of ``like``, empty where the table has none.

    A concept, layer or neuron that ``like`` does not know is an ArtifactError that names ``where``.
    """
    known = {name: row for row, name in enumerate(like.names)}
    for column, bound, one in (
        ("concept", known, f"one of the concepts of the atlas, as {like.names[0]!r}"),
        ("layer", like.n_layers, f"a layer from 0 to {like.n_layers - 1}"),
        ("neuron", like.width, f"a neuron from 0 to {like.width - 1}"),
    ):
        strange = [
            value
            for value in table[column].unique().sort()
            if (value not in bound if isinstance(bound, dict) else not 0 <= value < bound)
        ]
        if strange:
            raise ArtifactError(
                "the circuits are not about this atlas",
                where=f"{where}, column {column!r}",
                expected=one,
                found=repr(strange[0]),
                remedy="correct the file, or name another one in ATLAS_CIRCUITS",
            )
    bits = np.zeros(like.bits.shape, dtype=np.bool_)
    rows = [known[name] for name in table["concept"]]
    bits[rows, table["layer"].to_numpy(), table["neuron"].to_numpy()] = True
    return Masks(like.names, bits)
