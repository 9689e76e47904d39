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
from atlas_assets.stages.report import measures as measure
from atlas_assets.stages.setting import REFERENCE, STANDALONE, Setting
from atlas_assets_tests.oracles import atlas_naive
from atlas_assets_tests.stages import random_atlas
from atlas_assets_tests.stages.random_atlas import concept_names
from atlas_assets_tests.stages.report.paper_evidence import PaperEvidence, paper_evidence

LAYERS = 5


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_fractions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = concept_names(16)
    chosen = (name for name in names[1:-1] if rng.random() < 0.6)
    masks = random_atlas.masks(rng, names, LAYERS)
    checked = random_atlas.masks(rng, (*names[:1], *chosen, names[-1]), LAYERS)
    decomposed = decomposition.target_checker(masks, checked)
    summary = decomposition.summary({REFERENCE: decomposed})
    evidence = PaperEvidence(
        {("target_checker", REFERENCE): decomposed, ("summary", None): summary}
    )
    circuits, checker = atlas_naive.from_bits(masks), atlas_naive.from_bits(checked)
    row = atlas_naive.summary_row(0.5, 0.8, circuits, checker)
    assert measure.testable(evidence, "n_testable") == row["n_testable"] == len(checker)
    assert measure.testable(evidence, "n_ast") == row["n_ast"]
    of_ast, of_builtins = row["ast_concept_fraction"], row["blt_concept_fraction"]
    expected = of_ast / of_builtins if of_builtins else float("inf")
    assert measure.fraction_ratio(evidence, REFERENCE) == pytest.approx(expected)

    def mean(kind: str, layer: int) -> float:
        named = [name for name in checker if name.startswith(kind)]
        couples = [(circuits[name][layer], checker[name][layer]) for name in named]
        return statistics.mean(atlas_naive.fraction(len(a - b), len(a)) for a, b in couples)

    heights = [mean("ast", layer) for layer in range(LAYERS)]
    peak = measure.peak_layer(evidence)
    assert measure.peak_height(evidence) == pytest.approx(max(heights))
    assert heights[peak] == pytest.approx(max(heights))
    assert measure.builtins_at_peak(evidence) == pytest.approx(mean("builtin", peak))


@pytest.mark.parametrize(
    ("observe", "arguments"),
    [
        (measure.entanglement, ("mean", 9, 8)),
        (measure.entanglement, ("mean", 4, 12)),
        (measure.similarity, ("ast", "mean", 99, 8)),
        (measure.atomic_clusters, (STANDALONE, 8, 8)),
        (measure.atomic_clusters, (STANDALONE, 3, 4)),
        (measure.significant_layers, ("ast__Nothing",)),
        (measure.fraction_ratio, (Setting(0.3, 0.3),)),
        (measure.mean_sizes, ("neither", 8)),
        # the evidence is of eight layers, and claims of others are not about it
        (measure.mean_sizes, ("ast", 4)),
        (measure.peak_layer_of, (4,)),
    ],
)
def test_what_the_atlas_does_not_hold_is_no_observation(observe, arguments) -> None:
    with pytest.raises(AtlasError):
        observe(paper_evidence(), *arguments)


def test_of_concepts_that_are_level_none_is_the_most_modular() -> None:
    scores = {("ast__A", 2, 1), ("ast__B", 2, 1), ("ast__C", 1, 1), ("ast__D", 1, 1)}

    def observed(*rows: tuple[str, int, int]) -> tuple[object, object]:
        table = pl.DataFrame(sorted(rows), schema=["index", "p=0.0", "p=0.25"], orient="row")
        evidence = PaperEvidence({("modularity_scores", None): table})
        return measure.most_modular(evidence), measure.three_most_modular(evidence)

    assert observed(*scores) == ("a tie of 2 concepts", "a tie of 2 concepts")
    alone = {("ast__A", 2, 2), *scores - {("ast__A", 2, 1), ("ast__D", 1, 1)}}
    assert observed(*alone) == ("ast__A", ("ast__A", "ast__B", "ast__C"))
    assert observed(("ast__A", 0, 0), ("ast__B", 0, 0)) == (
        "a tie of 2 concepts",
        ("ast__A", "ast__B"),
    )
