"""The choice of thresholds against planted circuits, and against labels that are shuffled."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from atlas_assets.stages.activations.positions import LEVELS
from atlas_assets.stages.circuits.definitions import KAPPAS, SHARES
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.prompts import object_prompts
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets_tests.stages.circuits import planted
from tools import choose_thresholds


def firings(*, shuffled: bool) -> choose_thresholds.ByDomain:
    """In each of three domains planted masks, on 6 of 10 prompts, at all levels but the highest."""
    masks = [planted.pair_masks(seed)[0] for seed in range(3)]
    if shuffled:
        masks = [planted.shuffled(each, number) for number, each in enumerate(masks)]
    counts = np.stack([np.where(each.bits, 6, 1) for each in masks]).astype(np.int32)
    counts = np.stack([counts] * (len(LEVELS) - 1) + [counts // 2])
    n_prompts = np.full((3, len(masks[0].names)), 10, np.int32)
    return choose_thresholds.ByDomain(masks[0].names, n_prompts, counts)


@pytest.mark.parametrize("shuffled", [False, True])
def test_pairs_of_the_domain_held_out_find_planted_circuits_only(shuffled: bool) -> None:
    found = dict(choose_thresholds.judged(firings(shuffled=shuffled)))
    every = itertools.product(KAPPAS, choose_thresholds.CONSISTENCIES, SHARES)
    assert list(found) == list(every)
    for (kappa, consistency, share), tops in found.items():
        assert len(tops) == 14
        fires = consistency < 0.5 or (consistency == 0.5 and kappa < 1)
        mean = np.mean(list(tops.values()))
        if shuffled or not fires:
            assert mean < 0.35
        elif share < 1:
            assert mean > 0.95
    told = list(choose_thresholds.lines(found))
    assert len(told) == 2 + len(found) + 1
    assert told[-1].startswith("best: κ = ")


def test_prompts_are_run_through_the_embedded_model_and_their_firings_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = object_prompts.generate(
        load_stimuli(), ast_nodes=["For", "If", "While"], builtins=["len", "list", "max"]
    )
    prompts.write_parquet(tmp_path / "prompts.parquet")
    assert choose_thresholds.main([str(tmp_path / "prompts.parquet")]) == 0
    shown = capsys.readouterr().out
    assert shown.count("best: κ = ") == shown.count("Read at the ") == 2
    assert shown.count("distinct circuits at layers 0 to 3, of 6; mean size ") in range(2, 5)


def test_different_circuits_and_common_neurons_are_counted() -> None:
    """By hand: 3 concepts, 2 layers of 3; at layer 0 one circuit, at layer 1 two; 7 neurons."""
    bits = np.array(
        [[[1, 0, 0], [1, 1, 0]], [[1, 0, 0], [1, 0, 0]], [[1, 0, 0], [1, 0, 0]]], dtype=np.bool_
    )
    told = choose_thresholds.told_apart(Masks(("ast__A", "ast__B", "ast__C"), bits))
    assert told == (
        "1, 2 distinct circuits at layers 0 to 1, of 3; mean size 2.3; "
        "neurons common to all 2 (86%)"
    )
    bits[:] = False
    assert choose_thresholds.told_apart(Masks(("ast__A", "ast__B", "ast__C"), bits)).endswith(
        "mean size 0.0; neurons common to all 0 (0%)"
    )
