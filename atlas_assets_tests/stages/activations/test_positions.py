"""Activations at positions: table and arrays are the same, whatever is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.activations.positions import (
    COUNTS,
    LEVELS,
    SCHEMA,
    PositionActivations,
    placed,
    table_of,
)

NAMES = ("For__len", "For__list", "If__len")


def made_up(position: str, seed: int = 0) -> PositionActivations:
    rng = np.random.default_rng(seed)
    n_prompts = np.array([[3, 2, 0], [2, 0, 0]], np.int32)
    shape = (2, 3, 4, 6)
    counts = rng.integers(0, 4, (len(LEVELS), *shape)).astype(np.int32)
    counts = np.minimum(counts, n_prompts[None, :, :, None, None])
    sums = (rng.random(shape) * (n_prompts > 0)[:, :, None, None]).astype(np.float32)
    return PositionActivations(position, NAMES, n_prompts, sums, counts, rng.random(4), 17)  # type: ignore[arg-type]


def test_the_table_holds_what_the_arrays_hold() -> None:
    concept, name = made_up("concept"), made_up("name", 1)
    table = table_of([name, concept])
    SCHEMA.check(table, where="here")
    assert table.height == 2 * 3 * 4
    assert concept.left_out == ("If__len",)
    for wanted in (concept, name):
        found, wanted = PositionActivations.of(table, wanted.position), wanted.select(NAMES[:2])
        assert (found.names, found.sampled) == (wanted.names, 17)
        for field in ("n_prompts", "sums", "counts", "scale"):
            np.testing.assert_array_equal(getattr(found, field), getattr(wanted, field))
    row = table.row(by_predicate=pl.col("position").eq("name") & pl.col("half").eq("test")
                    & pl.col("layer").eq(2), named=True)  # fmt: skip
    assert (row["pair"], row["n_prompts"], row["scale"]) == ("For__len", 2, name.scale[2])
    assert row["firing_0.3"] == name.counts[2, 1, 0, 2].tolist()


def test_a_position_that_no_prompt_has_is_empty() -> None:
    nowhere = replace(made_up("name"), n_prompts=np.zeros((2, 3), np.int32))
    assert nowhere.table().is_empty()
    assert PositionActivations.of(table_of([made_up("concept"), nowhere]), "name").names == ()


@pytest.mark.parametrize("edit", [
    pl.col("sums").list.eval(pl.element() - 2),
    pl.col("sums").list.eval(pl.element() / 0),
    pl.col("sums").list.head(3),
    *(pl.col(name).list.eval(pl.element() + 4) for name in COUNTS),
])  # fmt: skip
def test_an_unsound_table_is_refused(edit: pl.Expr) -> None:
    with pytest.raises(ArtifactError):
        SCHEMA.check(made_up("concept").table().with_columns(edit), where="here")


def test_a_table_without_a_layer_or_of_two_widths_is_refused() -> None:
    table = made_up("concept").table()
    shorter = pl.when(pl.int_range(pl.len()) == 5).then(pl.col("sums").list.head(2))
    for unsound in (table.slice(1), table.with_columns(shorter.otherwise("sums").alias("sums"))):
        with pytest.raises(ArtifactError, match="4 layers of 6 neurons"):
            PositionActivations.of(unsound, "concept")


def test_prompts_are_halved_by_domain_and_read_where_their_concept_is() -> None:
    texts = ["for x in len(y):\n    pass\nprint('Done')", "if a:\n    b"]
    prompts = pl.DataFrame(
        {
            "ast_node": ["For"] * 5 + ["If"],
            "builtin_obj": ["len"] * 6,
            "variation_id": [0, 1, 2, 3, 14, 3],
            "prompt_text": [texts[0]] * 5 + [texts[1]],
        }
    )
    places = placed(prompts)
    assert places.names == ("For__len", "If__len")
    assert places.units.tolist() == [0, 2, 0, 2, 0, 3]
    assert places.ends["concept"] == [len("for x in len(y):\n    pass")] * 5 + [len(texts[1])]
    assert places.ends["name"] == [len("for x in len")] * 5 + [None]
