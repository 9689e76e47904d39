"""What claims observe, against the naive computation of the same quantity on random atlases."""

from __future__ import annotations

import statistics

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import AtlasError
from atlas_assets.stages.analyses import compositionality, layer_profile, modularity, ockham
from atlas_assets.stages.decomposition import decomposition
from atlas_assets.stages.masks.masks import Masks, universal
from atlas_assets.stages.report import measures as measure
from atlas_assets.stages.setting import REFERENCE, STANDALONE
from atlas_assets_tests.oracles import analyses_naive, atlas_naive
from atlas_assets_tests.stages import random_atlas

ATOMIC = ("Assert", "Break", "Continue", "Import", "ImportFrom", "Pass")
OTHERS = ("For", "If", "Return", "While")
BUILTINS = ("_isolated_", "dict", "len", "print", "sum")
LAYERS, WIDTH = 5, 24
LAYER = 4

seeds = st.integers(0, 2**32 - 1)
some = settings(deadline=None, max_examples=15)


class RandomEvidence:
    """The tables of one random atlas, at whatever setting they are asked for."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        pairs = sorted(
            {f"{node}___isolated_" for node in ATOMIC}
            | {f"{node}__{rng.choice(BUILTINS)}" for node in OTHERS}
            | {f"{rng.choice(OTHERS)}__{name}" for name in BUILTINS}
        )
        self.pairs = random_atlas.masks(rng, tuple(pairs), LAYERS, WIDTH)
        self.pairs.bits[rng.random(len(pairs)) < 0.3] |= True
        self.masks = universal(self.pairs)
        testable = [name for name in self.masks.names if rng.random() < 0.6]
        testable += ["ast__For", "builtin__len"]
        checked = tuple(sorted(set(testable) & set(self.masks.names)))
        self.checker = random_atlas.masks(rng, checked, LAYERS, WIDTH)

    def universal(self, setting: object) -> Masks:  # noqa: ARG002
        return self.masks

    def concepts(self) -> tuple[str, ...]:
        return self.masks.names

    def table(self, key: str, setting: object = None) -> pl.DataFrame:  # noqa: ARG002
        decomposed = decomposition.target_checker(self.masks, self.checker)
        return {
            "target_checker": lambda: decomposed,
            "summary": lambda: decomposition.summary({REFERENCE: decomposed}),
            "modularity_scores": lambda: modularity.scores(self.masks),
            "compositionality": lambda: compositionality.entanglement(self.pairs, self.masks),
            "ockham_index": lambda: ockham.ockham_index(self.masks),
            "layer_profile": lambda: layer_profile.profile(self.pairs, self.masks),
        }[key]()


class LargeCircuits:
    """Fourteen concepts with so many neurons that no two are as far apart as two others."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        names = tuple(sorted(f"ast__{name}" for name in (*ATOMIC, *OTHERS, "A", "B", "C", "D")))
        bits = rng.random((len(names), 2, 400)) < rng.uniform(0.05, 0.9, (len(names), 2, 1))
        bits[rng.random(len(names)) < 0.15, 1] = False
        self.masks = Masks(names, bits)

    def universal(self, setting: object) -> Masks:  # noqa: ARG002
        return self.masks


def circuits_of(masks: Masks) -> atlas_naive.Circuits:
    return atlas_naive.from_bits(masks.names, masks.bits)


def of_kind(concepts, kind: str):
    return [name for name in concepts if name.split("__")[0] == kind]


@some
@given(seed=seeds)
def test_concepts_and_survivors(seed: int) -> None:
    evidence = RandomEvidence(seed)
    circuits = circuits_of(evidence.masks)
    assert measure.concepts_of(evidence, "ast") == len(of_kind(circuits, "ast"))
    assert measure.concepts_of(evidence, "ast", "builtin") == len(circuits)
    alive = sum(any(layers) for layers in circuits.values())
    assert measure.surviving(evidence, REFERENCE) == alive


@some
@given(seed=seeds)
def test_fractions(seed: int) -> None:
    evidence = RandomEvidence(seed)
    circuits, checker = circuits_of(evidence.masks), circuits_of(evidence.checker)
    row = atlas_naive.summary_row(0.5, 0.8, circuits, checker)
    assert measure.testable(evidence, "n_testable") == row["n_testable"] == len(checker)
    assert measure.testable(evidence, "n_ast") == row["n_ast"]
    of_ast, of_builtins = row["ast_concept_fraction"], row["blt_concept_fraction"]
    expected = of_ast / of_builtins if of_builtins else float("inf")
    assert measure.fraction_ratio(evidence, REFERENCE) == pytest.approx(expected)

    def mean(kind: str, layer: int) -> float:
        couples = [(circuits[name][layer], checker[name][layer]) for name in of_kind(checker, kind)]
        return statistics.mean(atlas_naive.fraction(len(a - b), len(a)) for a, b in couples)

    heights = [mean("ast", layer) for layer in range(LAYERS)]
    peak = measure.peak_layer(evidence)
    assert measure.peak_height(evidence) == pytest.approx(max(heights))
    assert heights[peak] == pytest.approx(max(heights))
    assert measure.builtins_at_peak(evidence) == pytest.approx(mean("builtin", peak))


@some
@given(seed=seeds)
def test_modularity(seed: int) -> None:
    evidence = RandomEvidence(seed)
    rows = atlas_naive.modularity_scores(circuits_of(evidence.masks), LAYERS)
    assert measure.most_modular(evidence) == rows[0]["index"]
    assert measure.three_most_modular(evidence) == tuple(row["index"] for row in rows[:3])
    (own,) = [row for row in rows if row["index"] == "ast__Break"]
    assert measure.significant_layers(evidence, "ast__Break") == own["p=0.0"]


@some
@given(seed=seeds, layer=st.integers(0, 1))
def test_atomicity(seed: int, layer: int) -> None:
    """An atomic concept with an empty circuit counts as a cluster of its own."""
    evidence = LargeCircuits(seed)
    whole = circuits_of(evidence.masks)
    names = [name for name, layers in whole.items() if layers[layer]]
    circuits = [whole[name][layer] for name in names]
    distances = [[float(1 - analyses_naive.jaccard(a, b)) for b in circuits] for a in circuits]
    heights = [height for height, _ in analyses_naive.ward(distances)]
    assert len(set(heights)) == len(heights)
    clusters = analyses_naive.ward_clusters(distances, 4)
    atomic = {f"ast__{name}" for name in ATOMIC}
    held = [{names[i] for i in cluster} & atomic for cluster in clusters]
    expected = sum(map(bool, held)) + len(atomic - set(names))
    assert measure.atomic_clusters(evidence, REFERENCE, layer) == expected


@some
@given(seed=seeds)
def test_entanglement_and_sizes(seed: int) -> None:
    evidence = RandomEvidence(seed)
    pairs, concepts = circuits_of(evidence.pairs), circuits_of(evidence.masks)
    rows = analyses_naive.entanglement(pairs, concepts)
    values = [row["entanglement_index"] for row in rows if row["layer"] == LAYER]
    observed = [measure.entanglement(evidence, name, LAYER) for name in ("mean", "median", "below")]
    below = 100 * sum(value < 0.2 for value in values) / len(values)
    assert observed == pytest.approx([statistics.mean(values), statistics.median(values), below])
    rows = analyses_naive.profile(pairs, concepts, LAYERS)
    for kind in ("pair", "ast", "builtin"):
        expected = [row["mean_size"] for row in rows if row["type"] == kind]
        assert measure.mean_sizes(evidence, kind) == pytest.approx(tuple(expected))


@some
@given(seed=seeds, kind=st.sampled_from(["ast", "builtin"]))
def test_similarities(seed: int, kind: str) -> None:
    evidence = RandomEvidence(seed)
    rows = analyses_naive.ockham_index(circuits_of(evidence.masks), LAYERS)
    values = [row["jaccard"] for row in rows if (row["type"], row["layer"]) == (kind, LAYER)]
    expected = {
        "mean": statistics.mean(values),
        "max": max(values),
        "above": sum(value > 0.5 for value in values),
        "couples": len(values),
        "ockham": 1 - statistics.mean(values),
    }
    observed = {name: measure.similarity(evidence, kind, name, LAYER) for name in expected}
    assert observed == pytest.approx(expected)
    assert isinstance(observed["above"], int)


@pytest.mark.parametrize(
    ("observe", "arguments"),
    [
        (measure.entanglement, ("mean", LAYERS)),
        (measure.similarity, ("ast", "mean", 99)),
        (measure.atomic_clusters, (STANDALONE, LAYERS)),
        (measure.significant_layers, ("ast__Lambda",)),
        (measure.fraction_ratio, (STANDALONE,)),
        (measure.mean_sizes, ("neither",)),
    ],
)
def test_what_the_atlas_does_not_hold_is_no_observation(observe, arguments) -> None:
    with pytest.raises(AtlasError):
        observe(RandomEvidence(0), *arguments)
