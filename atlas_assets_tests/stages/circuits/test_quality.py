"""All yardsticks of a concept, and what they come to per definition."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from atlas_assets.stages.analyses.circuit_distinctness import distinctness
from atlas_assets.stages.circuits import effects, quality
from atlas_assets.stages.circuits.definitions import calibrated
from atlas_assets.stages.circuits.identification import centroids, identify
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.setting import REFERENCE
from atlas_assets_tests.stages.circuits import planted, test_effects

_RUN = ("concept", "prompt")


def judged(*, effect: bool = True, losses: pl.DataFrame | None = None) -> quality.Judged:
    discovered, held_out = planted.pair_masks(seed=0)
    circuits = calibrated(discovered).of_kind("ast")
    circuits = Masks(test_effects.CONCEPTS, circuits.bits[:6])
    names = {f"ast__N{number}": name for number, name in enumerate(test_effects.CONCEPTS)}
    found = identify(*centroids(discovered), held_out)
    identified = {names[name]: one for name, one in found.items() if name in names}
    losses = test_effects.losses(0, controls=5) if losses is None else losses
    return quality.Judged(
        definition="mine",
        circuits=circuits,
        identified=identified,
        centroid=identified,
        token={},
        split_half=dict.fromkeys(names.values(), 0.5),
        null_p={"ast__C1": 0.25},
        effects=effects.effects(losses, circuits.names, draws=99) if effect else None,
        n_prompts={"ast__C0": 8, **dict.fromkeys(test_effects.CONCEPTS[1:], 30)},
    )


def _of(one: quality.Judged) -> tuple[Masks, effects.Effects | None]:
    return one.circuits, one.effects


def test_tables_follow_their_schemas() -> None:
    for known in (True, False):
        table = quality.quality(judged(effect=known))
        quality.QUALITY.check(table, where="circuit_quality")
        board = quality.leaderboard(*_of(judged(effect=known)), table)
        quality.LEADERBOARD.check(board, where="circuit_leaderboard")
        assert board["type"].to_list() == ["ast", "all"]
        assert (table["necessity"].null_count() == 0) == known


def test_a_concept_has_its_sizes_and_its_core() -> None:
    one = judged()
    table = quality.quality(one)
    sets = [set(np.flatnonzero(bits)) for bits in one.circuits.bits]
    common = [
        neuron for neuron in range(planted.WIDTH) if sum(neuron in held for held in sets) >= 5.4
    ]
    for row, held in zip(table.rows(named=True), sets, strict=True):
        assert row["size"] == row["L0"] == len(held)
        assert row["core"] == len(held & set(common))
        assert row["chance_top1"] == 1 / 8
    assert table["null_p"].to_list() == [None, 0.25, None, None, None, None]
    assert table["n_prompts"].to_list() == [8, 30, 30, 30, 30, 30]


def test_the_leaderboard_averages_and_keeps_intervals_around_the_means() -> None:
    one = judged()
    table = quality.quality(one)
    row = quality.leaderboard(*_of(one), table).rows(named=True)[0]
    assert row["size"] == pytest.approx(np.mean(table["size"].to_list()))
    assert row["identification_rank"] == pytest.approx(table["identification_rank"].mean())
    assert row["chance_top1"] == 1 / 8
    low, high = row["identification_top1_low"], row["identification_top1_high"]
    assert low <= row["identification_top1"] <= high
    assert row["core"] == len(planted.COMMON)
    of_layer = distinctness(REFERENCE, one.circuits).rows(named=True)[0]
    assert row["distinct_min"] == of_layer["distinct"]
    assert row["entropy"] == pytest.approx(of_layer["entropy_bits"])
    for name in ("necessity", "specificity", "over_matched"):
        assert row[name] == pytest.approx(np.mean(table[name].to_list()))
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
        # of a mean over concepts the interval is narrower than of one concept
        assert row[f"{name}_low"] > min(table[f"{name}_low"])
    assert row["n_significant"] == sum(value < 0.05 for value in table["q_value"][1:]) == 5
    assert table["q_value"][0] is None


def test_what_few_pairs_and_domains_show_has_no_interval() -> None:
    losses = test_effects.losses(0)
    few = pl.col("prompts_of") == "ast__C2"
    losses = losses.with_columns(
        pair=pl.when(few).then(pl.lit("C2__len")).otherwise("pair"),
        domain=pl.when(few).then(pl.col("prompt") % 2).otherwise("domain"),
    )
    table = quality.quality(judged(losses=losses))
    known = table["specificity_low"].is_not_null()
    assert known.to_list() == [concept != "ast__C2" for concept in table["concept"]]
    assert table["specificity"].null_count() == 0


def test_circuits_that_cost_what_their_controls_cost_are_not_significant() -> None:
    losses = test_effects.losses(0, controls=5).with_columns(
        # the circuit has the losses of its first control
        loss=pl.when(pl.col("condition") == "ablate")
        .then(pl.col("loss").filter(pl.col("condition") == "matched 0").first().over(_RUN))
        .otherwise("loss")
    )
    table = quality.quality(judged(losses=losses.filter(pl.col("loss").is_not_null())))
    assert (table["q_value"].drop_nulls() > 0.05).all()
