"""What claims observe on random atlases, where the paper's numbers would not tell it apart.

``test_published_claims`` tries the other measures on evidence of known numbers.
"""

from __future__ import annotations

import statistics

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import AtlasError
from atlas_assets.stages.decomposition import decomposition
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.report import measures as measure
from atlas_assets.stages.setting import REFERENCE, STANDALONE, Setting
from atlas_assets_tests.oracles import analyses_naive, atlas_naive
from atlas_assets_tests.stages import random_atlas
from atlas_assets_tests.stages.random_atlas import concept_names
from atlas_assets_tests.stages.report.paper_evidence import paper_evidence

ATOMIC = ("Assert", "Break", "Continue", "Import", "ImportFrom", "Pass")
OTHERS = ("For", "If", "Return", "While")
LAYERS = 5

seeds = st.integers(0, 2**32 - 1)
some = settings(deadline=None, max_examples=15)


class RandomEvidence:
    """The decomposition of one random atlas, at whatever setting it is asked for."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        names = concept_names(16)
        chosen = (name for name in names[1:-1] if rng.random() < 0.6)
        self.masks = random_atlas.masks(rng, names, LAYERS)
        self.checker = random_atlas.masks(rng, (*names[:1], *chosen, names[-1]), LAYERS)

    def table(self, key: str, setting: object = None) -> pl.DataFrame:  # noqa: ARG002
        decomposed = decomposition.target_checker(self.masks, self.checker)
        return decomposition.summary({REFERENCE: decomposed}) if key == "summary" else decomposed


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


def of_kind(concepts, kind: str):
    return [name for name in concepts if name.split("__")[0] == kind]


@some
@given(seed=seeds)
def test_fractions(seed: int) -> None:
    evidence = RandomEvidence(seed)
    circuits, checker = (
        atlas_naive.from_bits(evidence.masks),
        atlas_naive.from_bits(evidence.checker),
    )
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
@given(seed=seeds, layer=st.integers(0, 1))
def test_atomicity(seed: int, layer: int) -> None:
    """An atomic concept with an empty circuit counts as a cluster of its own."""
    evidence = LargeCircuits(seed)
    whole = atlas_naive.from_bits(evidence.masks)
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


@pytest.mark.parametrize(
    ("observe", "arguments"),
    [
        (measure.entanglement, ("mean", 5)),
        (measure.similarity, ("ast", "mean", 99)),
        (measure.atomic_clusters, (STANDALONE, 8)),
        (measure.significant_layers, ("ast__Nothing",)),
        (measure.fraction_ratio, (Setting(0.3, 0.3),)),
        (measure.mean_sizes, ("neither",)),
    ],
)
def test_what_the_atlas_does_not_hold_is_no_observation(observe, arguments) -> None:
    with pytest.raises(AtlasError):
        observe(paper_evidence(), *arguments)
