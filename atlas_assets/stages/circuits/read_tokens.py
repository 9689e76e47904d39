"""The tokens at which prompts are read, and what they alone tell of the concept."""

from __future__ import annotations

import numpy as np
import polars as pl

from atlas_assets.stages import columns as col
from atlas_assets.stages.circuits.identification import (
    Identified,
    identify_by,
    means_of_concepts,
)
from atlas_assets.stages.circuits.samples import Half
from atlas_assets.stages.prompts.positions import POSITIONS, Position
from atlas_assets.stages.rounding import Reals
from atlas_assets.stages.schema import Column, TableSchema

HALVES: tuple[Half, ...] = ("discovery", "test")
SCHEMA = TableSchema(
    columns=(
        Column("position", pl.String(), "concept or name", allowed=POSITIONS),
        Column("half", pl.String(), "discovery or test, by domain", allowed=HALVES),
        col.text("pair", "pair, {ast}__{builtin}"),
        col.count("token", "id of the token that is read"),
        col.count("prompts", "prompts of the half of the pair that are read at it", minimum=1),
    ),
    key=("position", "half", "pair", "token"),
)


def token_baseline(read: pl.DataFrame, position: Position) -> dict[str, Identified]:
    """Return how well the id of the read token alone identifies each concept.

    It is the nearest centroid of `stages.circuits.identification`, with the shares of a pair's
    prompts that are read at each token in place of the pair's mask.

    Args:
        read: A table of the columns ``SCHEMA``.
        position: Where prompts are read.
    """
    at = read.filter(pl.col("position") == position)
    tokens = at["token"].unique().sort()
    discovered, held_out = (_shares(at.filter(pl.col("half") == half), tokens) for half in HALVES)
    return identify_by(*means_of_concepts(*discovered), *held_out)


def _shares(rows: pl.DataFrame, tokens: pl.Series) -> tuple[Reals, tuple[str, ...]]:
    """Return float64 ``[pairs, tokens]``, the shares of each pair's prompts, and the pairs."""
    pairs = rows["pair"].unique().sort()
    shares = np.zeros((len(pairs), len(tokens)))
    places = pairs.search_sorted(rows["pair"]), tokens.search_sorted(rows["token"])
    shares[places[0].to_numpy(), places[1].to_numpy()] = rows["prompts"].to_numpy()
    return shares / shares.sum(axis=1, keepdims=True), tuple(pairs)
