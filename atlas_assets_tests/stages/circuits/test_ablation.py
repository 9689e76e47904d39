"""What is run of every circuit: conditions, prompts, and what is put to its mean."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import polars as pl

from atlas_assets.stages.circuits import ablation, definitions
from atlas_assets.stages.circuits.samples import Sample
from atlas_assets_tests.stages.random_atlas import concept_names, masks

CONCEPTS = concept_names(5)


def sample(each: int) -> Sample:
    """Prompts of each concept, with concepts of the other type, one of these after the other."""
    pairs = []
    for concept in CONCEPTS:
        kind, _, name = concept.partition("__")
        partners = [other for other in CONCEPTS if not other.startswith(kind)]
        for row in range(each):
            partner = partners[row * len(partners) // each].partition("__")[2]
            pairs.append("__".join(sorted([name, partner])))  # C… are AST nodes, D… builtins
    number = np.repeat(np.arange(5), each)
    texts = tuple(f"text {row}" for row in range(5 * each))
    return Sample(CONCEPTS, number, tuple(pairs), np.zeros(5 * each, dtype=np.int64), texts)


def test_every_condition_holds_back_what_it_says() -> None:
    rng = np.random.default_rng(0)
    circuits = masks(rng, CONCEPTS)
    strength, drawn = rng.random(circuits.bits.shape), sample(9)
    extent = ablation.Extent(own=7, others=2, controls=2, kept=5, curve=3)
    planned = ablation.plan(circuits, strength, drawn, extent)
    per_concept = Counter(zip(planned.concepts.tolist(), planned.conditions, strict=True))
    for concept in range(5):
        assert per_concept[concept, "ablate"] == 7 + 4 * 2
        assert per_concept[concept, "keep"] == 5 + 5
        assert per_concept[concept, "matched 0"] == per_concept[concept, "matched 1"] == 4
        assert per_concept[concept, "keep 0.02"] == 3
    controls = [definitions.matched(circuits, strength, draw=draw) for draw in range(2)]
    for (prompt, gate), concept, condition in zip(
        planned.runs.tolist(), planned.concepts.tolist(), planned.conditions, strict=True
    ):
        own = drawn.concept[prompt] == concept
        circuit, kept = circuits.bits[concept], planned.gates[gate]
        what, _, which = condition.partition(" ")
        if what == "ablate":
            assert (kept == ~circuit).all()
        elif what == "matched":
            assert own
            assert (kept == ~controls[int(which)].bits[concept]).all()
        elif not which:
            assert (kept == circuit).all()
        else:
            assert own
            order = sorted(
                np.ndindex(circuit.shape),
                key=lambda place: (not circuit[place], -strength[concept][place]),
            )
            wanted = set(order[: round(float(which) * circuit.size)])
            assert {tuple(place) for place in np.argwhere(kept).tolist()} == wanted


def test_a_sample_takes_few_prompts_of_some_others() -> None:
    circuits = masks(np.random.default_rng(1), CONCEPTS)
    extent = ablation.Extent(own=2, others=0.5, controls=0, kept=2, curve=0)
    planned = ablation.plan(circuits, np.zeros(circuits.bits.shape), sample(4), extent)
    assert set(planned.conditions) == {"ablate", "keep"}
    for concept in range(5):
        rows = (planned.concepts == concept) & (np.array(planned.conditions) == "ablate")
        assert rows.sum() == 2 + 2


def test_prompts_of_others_are_not_the_concepts_own_and_all_are_of_any_pairs() -> None:
    circuits, drawn = masks(np.random.default_rng(2), CONCEPTS), sample(60)
    extent = ablation.Extent(own=60, others=8, controls=2, kept=24, curve=8)
    planned = ablation.plan(circuits, np.zeros(circuits.bits.shape), drawn, extent)
    met: dict[tuple[int, str], list[str]] = {}
    for (prompt, _), concept, condition in zip(
        planned.runs.tolist(), planned.concepts.tolist(), planned.conditions, strict=True
    ):
        own = drawn.concept[prompt] == concept
        name = CONCEPTS[concept].partition("__")[2]
        assert (name in drawn.pair[prompt].split("__")) == own
        if own:
            met.setdefault((concept, condition), []).append(drawn.pair[prompt])
    for concept, name in enumerate(CONCEPTS):
        n = 2 if name.startswith("ast") else 3
        for condition in ("matched 0", "keep", "keep 0.02"):
            assert len(set(met[concept, condition])) == n


def test_what_two_definitions_have_in_common_is_run_once() -> None:
    rng = np.random.default_rng(2)
    circuits = masks(rng, CONCEPTS)
    strength, drawn = rng.random(circuits.bits.shape), sample(4)
    control = definitions.matched(circuits, strength)
    extent = ablation.Extent(own=3, others=1, controls=1, kept=2, curve=0)
    plans = {
        name: ablation.plan(some, strength, drawn, extent)
        for name, some in (("matched", control), ("published", circuits))
    }
    asked: list[tuple[str, bytes]] = []

    def loss(text: str, gate: Any) -> float:
        return hash((text, gate.tobytes())) % 1000 / 100

    def ablate(texts: Any, gates: Any, runs: Any, _means: Any) -> Any:
        asked.extend((texts[text], gates[gate].tobytes()) for text, gate in runs)
        return np.array([loss(texts[text], gates[gate]) for text, gate in runs])

    table = ablation.run(ablate, drawn, plans, np.zeros(circuits.bits.shape[1:]))
    assert len(asked) == len(set(asked))
    # the published circuits' controls are the circuits of `matched`
    assert len(asked) <= table.height + 2 * len(drawn) - 5 * extent.own
    for row in table.filter(pl.col("condition") != "ablate").rows(named=True):
        number = CONCEPTS.index(row["concept"])
        some = control if row["definition"] == "matched" else circuits
        kept = some.bits[number]
        if row["condition"] == "matched 0":
            kept = ~definitions.matched(some, strength).bits[number]
        assert row["loss"] == loss(drawn.texts[row["prompt"]], kept)
