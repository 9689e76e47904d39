"""Effects against loops over the losses of single prompts; shuffled labels have none."""

from __future__ import annotations

import itertools
import math

import numpy as np
import polars as pl
import pytest

from atlas_assets.stages.circuits import ablation, effects

CONCEPTS = tuple(f"ast__C{number}" for number in range(6))


def losses(
    seed: int, *, shuffled: bool = False, specific: float = 0.5, controls: int = 2
) -> pl.DataFrame:
    """Losses of circuits whose ablation costs ``specific`` nats more on the concept's prompts."""
    rng = np.random.default_rng(seed)
    prompts = [(concept, number) for concept in CONCEPTS for number in range(8)]
    true = {place: concept for place, (concept, _) in enumerate(prompts)}
    if shuffled:
        true = dict(zip(true, rng.permutation(list(true.values())).tolist(), strict=True))
    whole, none = rng.uniform(1, 2, len(prompts)), rng.uniform(5, 6, len(prompts))
    conditions = ["ablate", "keep", *(f"matched {draw}" for draw in range(controls))]
    conditions += [f"keep {share:g}" for share in ablation.CURVE]
    rows = []
    for concept in CONCEPTS:
        for place, (of, number) in enumerate(prompts):
            for condition in conditions:
                if of != concept and condition not in ("ablate", "keep"):
                    continue
                rise = rng.normal(0.2, 0.05)
                if condition == "ablate":
                    rise += specific * (true[place] == concept)
                if condition.startswith("keep"):
                    rise += 1.5
                pair, domain = f"{of}-{number % 4}", number // 4
                row = ("mine", concept, condition, of, pair, domain, place)
                rows.append((*row, whole[place] + rise, whole[place], none[place]))
    return pl.DataFrame(rows, schema=ablation.SCHEMA.polars, orient="row")


def mean_rise(rows: list[dict], upper: str = "loss") -> float:
    return math.fsum(row[upper] - row["whole"] for row in rows) / len(rows)


def test_equals_means_over_the_prompts() -> None:
    table = losses(0)
    ablation.SCHEMA.check(table, where="the table")
    found = effects.effects(table, (*CONCEPTS, "ast__Missing"), draws=50)
    for place, concept in enumerate(CONCEPTS):
        rows = [row for row in table.rows(named=True) if row["concept"] == concept]
        own = [row for row in rows if row["prompts_of"] == concept]
        other = [row for row in rows if row["prompts_of"] != concept]

        def at(some: list[dict], condition: str) -> list[dict]:
            return [row for row in some if row["condition"].split(" ")[0] == condition]

        necessity = mean_rise(at(own, "ablate"))
        exact = pytest.approx
        assert found.necessity.values[place] == exact(necessity)
        specificity = necessity - mean_rise(at(other, "ablate"))
        assert found.specificity.values[place] == exact(specificity)
        over = necessity - mean_rise(at(own, "matched"))
        assert found.over_matched.values[place] == exact(over)
        assert found.clusters[place] == 8
        for draw in range(2):
            one = [row for row in own if row["condition"] == f"matched {draw}"]
            assert found.controls[draw, place] == exact(mean_rise(one))
        for some, value in ((own, found.faithfulness_own), (other, found.faithfulness_other)):
            kept = [row for row in some if row["condition"] == "keep"]
            assert value[place] == exact(1 - mean_rise(kept) / mean_rise(kept, "none"))
        points = []
        for share in ablation.CURVE:
            kept = [row for row in own if row["condition"] == f"keep {share:g}"]
            points.append((share, 1 - mean_rise(kept) / mean_rise(kept, "none")))
        points.append((1.0, 1.0))
        under = away = 0.0
        for (x, y), (x2, y2) in itertools.pairwise(points):
            under += (x2 - x) * (y + y2) / 2
            away += (x2 - x) * (abs(1 - y) + abs(1 - y2)) / 2
        assert (found.cpr[place], found.cmd[place]) == (exact(under), exact(away))
    assert np.isnan(found.necessity.values[-1])
    assert np.isnan(found.cpr[-1])


def test_resamples_draw_pairs_and_domains_for_all_concepts_at_once() -> None:
    table = losses(1)
    found = effects.effects(table, CONCEPTS, draws=400)
    spread = np.nanstd(found.specificity.draws, axis=1)
    means = np.nanmean(found.specificity.draws, axis=1)
    assert (np.abs(means - found.specificity.values) < 0.02).all()
    assert (spread > 0.005).all()
    assert (spread < 0.1).all()


def test_shuffled_labels_leave_no_specificity() -> None:
    true = effects.effects(losses(2), CONCEPTS, draws=20)
    false = effects.effects(losses(2, shuffled=True), CONCEPTS, draws=20)
    assert true.specificity.values.mean() == pytest.approx(0.5, abs=0.05)
    assert abs(false.specificity.values.mean()) < 0.15


def test_the_matrix_holds_the_mean_rise_of_every_couple() -> None:
    table = losses(3)
    found = effects.matrix(table)
    assert found.height == 36
    for definition, concept, of, rise, n in found.rows():
        rows = table.filter(concept=concept, prompts_of=of, condition="ablate")
        assert definition == "mine"
        assert n == rows.height == 8
        assert rise == pytest.approx(mean_rise(rows.rows(named=True)))
