"""What a leaderboard says in words is what its numbers show, also of shuffled labels."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from atlas_assets.stages.circuits import effects, quality, yardsticks
from atlas_assets.stages.circuits.definitions import calibrated
from atlas_assets.stages.circuits.identification import centroids, identify
from atlas_assets_tests.stages.circuits import planted, test_effects


def board(seed: int, *, shuffled: bool) -> pl.DataFrame:
    """The leaderboard of circuits planted in six nodes and six builtins, and of specific losses."""
    discovered, held_out = planted.pair_masks(seed)
    if shuffled:
        discovered = planted.shuffled(discovered, seed)
    circuits = calibrated(discovered, 0.8)
    names = {f"ast__C{n}": f"ast__N{n}" for n in range(6)}
    losses = test_effects.losses(seed, shuffled=shuffled, controls=5)
    losses = losses.with_columns(pl.col("concept", "prompts_of").replace(names))
    judged = quality.Judged(
        definition="planted",
        circuits=circuits,
        identified=identify(circuits.bits.astype(np.float64), circuits.names, held_out),
        centroid=identify(*centroids(discovered), held_out),
        token={},
        split_half={},
        null={},
        matched_ratio={},
        effects=effects.effects(losses, circuits.names, draws=99),
        n_prompts=dict.fromkeys(circuits.names, 30),
    )
    return quality.leaderboard(circuits, judged.effects, quality.quality(judged))


def test_planted_circuits_are_said_to_identify_and_to_be_specific() -> None:
    said = yardsticks.in_words(board(0, shuffled=False))
    assert "Of AST nodes, planted circuits identify best: they rank 100.0%" in said
    assert "12.5% by chance, 100.0% by nearest centroid" in said
    assert "Of AST nodes, circuits by these definitions cost their own concept more than" in said
    assert "planted (+0.5" in said or "planted (+0.4" in said


def test_the_report_says_how_strong_controls_are_beside_what_circuits_cost_more() -> None:
    judged = board(0, shuffled=False).with_columns(matched_ratio=pl.lit(0.321))
    shown = yardsticks.leaderboard_shown(judged)
    place = shown.columns.index("strength of controls")
    assert shown.columns[place - 1] == "over matched"
    assert [row[place] for row in shown.rows] == ["0.32"] * judged.height
    assert "part of what a circuit costs more is its strength" in shown.note


@pytest.mark.parametrize("seed", range(3))
def test_of_shuffled_labels_it_is_said_that_nothing_rises_above_chance(seed: int) -> None:
    said = yardsticks.in_words(board(seed, shuffled=True))
    for kind in ("AST nodes", "builtins"):
        assert f"No definition tells {kind} apart" in said or f"tells most {kind} apart" in said
    assert "circuits by no definition are shown to cost their own concept more" in said
    assert "identify best" not in said


def test_a_few_builtins_are_said_to_be_more_than_by_chance_and_few() -> None:
    row = {"type": "builtin", "definition": "calibrated", "identification_top1": 0.05}
    row |= {"identification_top1_low": 0.03, "identification_top1_high": 0.07}
    row |= {"chance_top1": 1 / 63, "centroid_top1": 0.084, "token_top1": 0.0497}
    empty = dict.fromkeys(quality.LEADERBOARD.polars, None) | row
    of_builtins = pl.DataFrame([empty], schema=quality.LEADERBOARD.polars)
    assert yardsticks.in_words(of_builtins) == (
        "No definition tells most builtins apart: the best, calibrated, ranks 5.0% [3.0%, 7.0%] "
        "of the pairs first on prompts of other subject areas, on average over concepts (1.6% by "
        "chance, 8.4% by nearest centroid, 5.0% by the read token): more than by chance, and few."
    )
    level = of_builtins.with_columns(identification_top1_low=pl.lit(0.01))
    assert "does not rise above chance" in yardsticks.in_words(level)
    few = of_builtins.with_columns(
        identification_top1=pl.lit(1.0),
        identification_top1_low=pl.lit(None, pl.Float64),
        identification_top1_high=pl.lit(None, pl.Float64),
    )
    assert yardsticks.in_words(few).startswith(
        "Too few builtins are there to say whether a definition tells them apart: the best, "
        "calibrated, ranks 100.0% of the pairs"
    )


def test_where_nothing_is_tested_it_is_said_that_no_difference_means_little() -> None:
    sampled = board(0, shuffled=True).with_columns(n_significant=pl.lit(None, pl.Int64))
    said = yardsticks.in_words(sampled)
    few = "when ablated, with too few prompts of each concept for a test (the job validate"
    # of the table alone nobody knows which job has ablated: what is said is true of both
    assert f"{few} ablates on more, where there are more; where it has run, there are not)." in said
    assert f"{few} has run, and there are no more)." in yardsticks.in_words(sampled, all_run=True)
    assert f"{few} ablates on more, where there are more)." in yardsticks.in_words(
        sampled, all_run=False
    )


@pytest.mark.parametrize(
    ("published", "told"),
    [
        (0.108, "published (10.8% [5.4%, 20.8%])"),
        # beyond the control's interval; but its own holds the control
        (0.250, "published (25.0% [12.5%, 35.0%])"),
    ],
)
def test_definitions_not_shown_to_identify_better_than_their_control_are_named(
    published: float, told: str
) -> None:
    empty = dict.fromkeys(quality.LEADERBOARD.polars, None)
    shares = {"published": published, "calibrated": 0.683, "matched": 0.135}
    rows = [
        empty
        | {"type": "ast", "definition": definition, "chance_top1": 1 / 43, "specificity": 0.0}
        | {"identification_top1": share}
        | {"identification_top1_low": share / 2, "identification_top1_high": share + 0.1}
        for definition, share in shares.items()
    ]
    said = yardsticks.in_words(pl.DataFrame(rows, schema=quality.LEADERBOARD.polars))
    assert said.endswith(
        "Of AST nodes, not shown to identify better than the control (matched, 13.5% [6.8%, "
        f"23.5%]) are: {told}."
    )


def test_a_control_is_never_said_to_identify_best() -> None:
    empty = dict.fromkeys(quality.LEADERBOARD.polars, None)
    interval = {"identification_top1_low": 0.5, "identification_top1_high": 1.0}
    row = empty | {"type": "ast", "chance_top1": 1 / 43} | interval
    shares = {"published": 0.6, "matched": 0.9}
    rows = [row | {"definition": name, "identification_top1": of} for name, of in shares.items()]
    (said,) = yardsticks.identifying(pl.DataFrame(rows, schema=quality.LEADERBOARD.polars))
    # those are of all subject areas
    assert said.startswith(
        "Of AST nodes, published circuits identify best: they rank 60.0% [50.0%, 100.0%] of the "
        "pairs first on prompts that these circuits are of as well"
    )


def test_own_circuits_are_not_said_to_identify_on_prompts_that_they_are_not_of() -> None:
    row = dict.fromkeys(quality.LEADERBOARD.polars, None) | {"type": "ast", "chance_top1": 1 / 43}
    row |= {"definition": "own", "identification_top1": 0.6}
    row |= {"identification_top1_low": 0.5, "identification_top1_high": 0.7}
    (said,) = yardsticks.identifying(pl.DataFrame([row], schema=quality.LEADERBOARD.polars))
    assert "of the pairs first on prompts that may have made these circuits" in said
