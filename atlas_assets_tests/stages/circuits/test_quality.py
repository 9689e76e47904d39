"""All yardsticks of a concept, and what they come to per definition."""

from __future__ import annotations

from dataclasses import replace

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
        null={"ast__C1": (0.25, 0.5)},
        matched_ratio={"ast__C2": 0.75},
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
    assert table["null_q"].to_list() == [None, 0.5, None, None, None, None]
    assert table["matched_ratio"].to_list() == [None, None, 0.75, None, None, None]
    # of 8 prompts, numbers 0 to 3 are of a pair each in one domain, 4 to 7 in the other
    assert table["n_clusters"].to_list() == [8] * 6
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
        assert row[f"{name}_low"] > min(table[f"{name}_low"].drop_nulls())
    assert row["n_significant"] == sum(value < 0.05 for value in table["q_value"][1:]) == 5
    assert table["q_value"][0] is None


def test_concepts_that_a_definition_does_not_speak_of_are_no_part_of_its_means() -> None:
    one = judged()
    bits = one.circuits.bits.copy()
    bits[[0, 3, 4]] = False
    one = replace(one, circuits=Masks(one.circuits.names, bits))
    table = quality.quality(one)
    board = quality.leaderboard(*_of(one), table, of_some=True)
    quality.LEADERBOARD.check(board, where="circuit_leaderboard")
    named = table.filter(pl.col("size") > 0)
    for row in board.rows(named=True):
        assert row["n_concepts"] == named.height == 3
        for name in ("size", "necessity", "specificity", "identification_top1"):
            assert row[name] == pytest.approx(named[name].mean())
    assert quality.leaderboard(*_of(one), table)["n_concepts"].to_list() == [6, 6]
    none = replace(one, circuits=Masks(one.circuits.names, np.zeros_like(bits)))
    assert quality.leaderboard(*_of(none), quality.quality(none), of_some=True).is_empty()


def test_what_few_prompts_show_has_no_interval() -> None:
    """The first concept had 8 own prompts, the others 30."""
    table = quality.quality(judged())
    for name in quality.MEASURED:
        assert table[name].null_count() == 0
        for end in ("low", "high"):
            known = table[f"{name}_{end}"].is_not_null()
            assert known.to_list() == [False, True, True, True, True, True], name


def test_a_control_has_no_control() -> None:
    one = judged()
    assert one.effects is not None
    one = replace(one, effects=one.effects.without_controls())
    table = quality.quality(one)
    quality.QUALITY.check(table, where="circuit_quality")
    for name in ("over_matched", "over_matched_low", "p_value", "q_value"):
        assert table[name].null_count() == table.height, name
    assert table["specificity"].null_count() == 0
    (row, _) = quality.leaderboard(*_of(one), table).rows(named=True)
    assert row["over_matched"] is row["over_matched_high"] is row["n_significant"] is None
    assert row["matched_ratio"] == 0.75


def test_a_circuit_without_a_control_of_its_size_exceeds_none() -> None:
    """Of one concept the control is smaller: the others are averaged and tested without it."""
    one = judged()
    assert one.effects is not None
    lacking = np.arange(len(test_effects.CONCEPTS)) == 1
    known = one.effects.over_matched.values[~lacking]
    one = replace(one, effects=one.effects.without_controls(lacking))
    table = quality.quality(one)
    assert table["over_matched"].is_null().to_list() == lacking.tolist()
    for name in ("over_matched_low", "over_matched_high", "p_value", "q_value"):
        assert table[name][1] is None, name
        assert table[name][2] is not None, name
    (row, _) = quality.leaderboard(*_of(one), table).rows(named=True)
    assert row["over_matched"] == pytest.approx(known.mean())


def test_what_few_pairs_and_domains_show_has_no_interval() -> None:
    losses = test_effects.losses(0)
    few = pl.col("prompts_of") == "ast__C2"
    few_of = ("ast__C0", "ast__C2")  # of few prompts, and of few pairs and domains
    losses = losses.with_columns(
        pair=pl.when(few).then(pl.lit("C2__len")).otherwise("pair"),
        domain=pl.when(few).then(pl.col("prompt") % 2).otherwise("domain"),
    )
    table = quality.quality(judged(losses=losses))
    known = table["specificity_low"].is_not_null()
    assert known.to_list() == [concept not in few_of for concept in table["concept"]]
    assert table["n_clusters"].to_list() == [8, 8, 2, 8, 8, 8]
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
