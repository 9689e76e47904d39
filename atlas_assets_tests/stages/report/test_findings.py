"""What is said of an atlas, held to tables and to masks counted by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from atlas_assets.stages.circuits.quality import LEADERBOARD
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.report.findings import InKeywords, findings, in_keywords
from atlas_assets.stages.setting import Setting
from atlas_assets_tests.storage.samples import checkers, objects, sample

SETTING = Setting(0.5, 0.8)


def board(**specificity: tuple[float, float, float]) -> pl.DataFrame:
    rows = []
    for definition, (value, low, high) in specificity.items():
        row = dict.fromkeys(LEADERBOARD.polars.names())
        row |= {"definition": definition, "type": "all", "size": 4.0, "necessity": 0.25}
        row |= {"specificity": value, "specificity_low": low, "specificity_high": high}
        rows.append(row)
    return pl.DataFrame(rows, schema=LEADERBOARD.polars)


def test_the_shared_neurons_are_counted() -> None:
    bits = np.zeros((10, 2, 8), dtype=np.bool_)
    bits[:, 0, :3] = True  # in all
    bits[:9, 1, 0] = True  # in nine of ten
    bits[0, 1, 5] = True
    names = tuple(f"ast__{letter}" for letter in "ABCDEFGHIJ")
    (found,) = findings(Masks(names, bits), SETTING, None, None)
    assert found.topic == "shared"
    assert found.text == (
        "Circuits of different concepts are largely the same neurons: at ε=0.5, C=0.8, a concept’s "
        "circuit has 4 of the model’s 16 neurons on average, and 4 neurons are in at least 90% of "
        "all circuits; 10 concepts have 3 different ones."
    )
    bits[:] = False
    bits[np.arange(10) % 2 == 0, 0, 1] = bits[np.arange(10) % 2 == 1, 0, 2] = True
    (found,) = findings(Masks(names, bits), SETTING, None, None)
    assert found.text.startswith("At ε=0.5, C=0.8, a concept’s circuit has 1 of")


def test_circuits_that_are_all_the_same_are_said_to_be() -> None:
    bits = np.zeros((3, 2, 4), dtype=np.bool_)
    bits[:, 1, 2] = True
    names = ("ast__A", "ast__B", "ast__C")
    (found,) = findings(Masks(names, bits), SETTING, None, None)
    assert found.text.endswith(
        "1 neuron is in at least 90% of all circuits; all 3 concepts have the same one."
    )
    (found,) = findings(Masks(names[:1], bits[:1]), SETTING, None, None)
    assert found.text.endswith("there is one concept.")


def masks(bits: object) -> Masks:
    return Masks(("ast__For", "ast__If", "builtin__len"), np.array(bits, dtype=np.bool_))


def test_what_fires_for_a_keyword_is_said_beside_what_fires_for_any_other() -> None:
    """Counted by hand: 2 layers of 4 neurons, circuits of 2 and 2, 4 and 0, 1 and 1 neurons."""
    circuits = masks(
        [
            [[1, 1, 0, 0], [0, 0, 1, 1]],
            [[1, 1, 1, 1], [0, 0, 0, 0]],
            [[1, 0, 0, 0], [0, 1, 0, 0]],
        ]
    )
    keywords = masks(
        [
            [[1, 0, 0, 0], [0, 0, 1, 1]],
            [[1, 1, 1, 0], [0, 0, 0, 1]],
            [[0, 0, 0, 0], [0, 1, 0, 0]],
        ]
    )
    found = in_keywords(circuits, keywords)
    # own: (1 + 2) / 4 and (3 + 0) / 4; other: (2 + 1) / 4 and (1 + 0) / 4
    assert found == {"ast": InKeywords(0.75, 0.5), "builtin": InKeywords(0.5, None)}
    told = {each.topic: each.text for each in findings(circuits, SETTING, keywords, None)}
    assert told["keyword"] == (
        "A part of a circuit fires for the keyword alone as well: 75.0% of an AST node’s circuit "
        "and 50.0% of a builtin’s fire for its own keyword in text that does not use the concept, "
        "and 50.0% for another concept’s in text that does not use that one, on average over "
        "concepts."
    )
    every = masks(np.ones((3, 2, 4)))
    (_, keyword) = findings(circuits, SETTING, every, None)
    assert keyword.text.startswith("Most of a circuit also fires for any other keyword: ")


def test_a_concept_without_a_neuron_has_no_share_and_its_keyword_is_still_another_one() -> None:
    circuits = masks(np.zeros((3, 2, 4)))
    circuits.bits[0, 1, :2] = True
    keywords = masks(np.zeros((3, 2, 4)))
    keywords.bits[0, 1, 0] = keywords.bits[1, 1, 1] = keywords.bits[1, 0] = True
    assert in_keywords(circuits, keywords) == {"ast": InKeywords(0.5, 0.5)}


def shares_one_by_one(circuits: Masks, keywords: Masks, kind: str) -> InKeywords:
    """The own and the others' share, by loops over concepts and sets of neurons."""
    sets = [
        {
            name: {tuple(place) for place in np.argwhere(bits)}
            for name, bits in zip(of.names, of.bits, strict=True)
        }
        for of in (circuits, keywords)
    ]
    circuit_of, keyword_of = sets
    names = [name for name in circuit_of if name in keyword_of and name.startswith(kind)]
    own, others = [], []
    for name in names:
        if circuit := circuit_of[name]:
            shares = {other: len(circuit & keyword_of[other]) / len(circuit) for other in names}
            own.append(shares.pop(name))
            others += [sum(shares.values()) / len(shares)] if shares else []
    return InKeywords(sum(own) / len(own), sum(others) / len(others) if others else None)


def test_the_shares_are_those_of_sets_of_neurons() -> None:
    row = sample("summary", SETTING).row(0, named=True)
    at = Setting(row["epsilon"], row["consistency"])
    circuits, keywords = objects(at).universal, checkers(at).masks
    found = in_keywords(circuits, keywords)
    for kind in ("ast", "builtin"):
        counted = shares_one_by_one(circuits, keywords, kind)
        assert found[kind].own == pytest.approx(counted.own), kind
        assert found[kind].others == pytest.approx(counted.others), kind


def test_an_atlas_without_keywords_has_nothing_to_compare_circuits_with() -> None:
    none = Masks((), np.zeros((0, 1, 4), dtype=np.bool_))
    (_, keyword) = findings(objects(SETTING).universal, SETTING, none, None)
    said = "No concept of this atlas has both a circuit and checker prompts to compare it with."
    assert keyword.text == said
    empty = Masks(("ast__For", "ast__If"), np.zeros((2, 1, 4), dtype=np.bool_))
    shared, keyword = findings(empty, SETTING, empty, None)
    assert keyword.text == said
    assert "no concept’s circuit has a neuron" in shared.text


def test_one_concept_and_the_two_of_one_pair_are_not_said_to_share() -> None:
    for names in (("ast__Pass",), ("ast__Pass", "builtin___isolated_")):
        bits = np.ones((len(names), 1, 4), dtype=np.bool_)
        (shared,) = findings(Masks(names, bits), SETTING, None, None)
        assert shared.text.startswith(f"At {SETTING}, a concept’s circuit has 4 of ")


def test_what_cannot_be_told_from_nothing_is_said_to_be() -> None:
    unclear = board(published=(0.018, -0.002, 0.036), contrastive=(0.076, 0.063, 0.087))
    (found,) = findings(None, None, None, unclear)
    assert "+0.25 nats per token" in found.text
    assert found.text.endswith(
        "which is not shown to be more than what other concepts’ prompts lose: the difference is "
        "+0.018 [-0.002, +0.036]; by other definitions it is above nothing: contrastive +0.076 "
        "[+0.063, +0.087]."
    )
    specific = board(published=(0.186, 0.09, 0.405), contrastive=(0.126, 0.024, 0.249))
    (found,) = findings(None, None, None, specific)
    assert found.text.endswith(
        "which is more than what other concepts’ prompts lose: the difference is +0.186 [+0.090, "
        "+0.405]; by other definitions it is above nothing: contrastive +0.126 [+0.024, +0.249]."
    )
    (found,) = findings(None, None, None, board(published=(-0.2, -0.3, -0.1)))
    assert "other concepts’ prompts more than that: the difference is -0.200" in found.text


def test_nothing_is_said_of_the_ablation_of_nothing() -> None:
    empty = board(published=(0.0, 0.0, 0.0)).with_columns(size=pl.lit(0.0))
    assert findings(None, None, None, empty) == []


def test_nothing_is_said_of_what_is_not_there() -> None:
    assert findings(None, None, None, None) == []
    assert findings(None, None, checkers().masks, board()) == []


def test_what_identifies_is_said_with_what_does_so_by_chance() -> None:
    row = dict.fromkeys(LEADERBOARD.polars.names())
    row |= {"definition": "calibrated", "type": "ast", "identification_top1": 0.771}
    row |= {"identification_top1_low": 0.655, "identification_top1_high": 0.873}
    row |= {"chance_top1": 1 / 43, "centroid_top1": 0.769, "token_top1": 0.389}
    (found,) = findings(None, None, None, pl.DataFrame([row], schema=LEADERBOARD.polars))
    assert found.topic == "identification"
    assert found.text == (
        "Of AST nodes, calibrated circuits identify best: they rank 77.1% [65.5%, 87.3%] of the "
        "pairs first on prompts of other subject areas, on average over concepts (2.3% by chance, "
        "76.9% by nearest centroid, 38.9% by the read token)."
    )
