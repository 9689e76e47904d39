"""Stage 14 against Python sets."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.decomposition import decomposition as d
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.setting import REFERENCE, Setting
from atlas_assets_tests.oracles import atlas_naive as naive
from atlas_assets_tests.stages.random_atlas import SWEEP, concept_names, masks, refused

seeds = st.integers(0, 2**32 - 1)
quick = settings(deadline=None, max_examples=30)


def both(rng: np.random.Generator, checked: tuple[str, ...], width: int = 24):
    """Universal masks of ten concepts and checker masks of some of them."""
    return masks(rng, concept_names(10), width=width), masks(rng, checked, width=width)


def naive_summary(setting: Setting, universal: Masks, checker: Masks) -> naive.Row:
    a, b = (naive.from_bits(masks) for masks in (universal, checker))
    return naive.summary_row(setting.epsilon, setting.consistency, a, b)


some_concepts = st.sets(st.sampled_from(concept_names(10))).map(lambda s: tuple(sorted(s)))


@quick
@given(seed=seeds, checked=some_concepts)
def test_the_table_equals_the_naive_one(seed, checked):
    universal, checker = both(np.random.default_rng(seed), checked)
    table = d.target_checker(universal, checker)
    assert table.columns == ["target", "L0", "L1", "L2"]
    assert set(table.dtypes) == {pl.String}
    expected = naive.target_checker(naive.from_bits(universal), naive.from_bits(checker))
    assert table.to_dicts() == expected


@quick
@given(seed=seeds, checked=some_concepts, n_settings=st.integers(1, 9))
def test_the_summary_equals_the_naive_one(seed, checked, n_settings):
    rng = np.random.default_rng(seed)
    found = {setting: both(rng, checked, width=200) for setting in SWEEP[:n_settings]}
    tables = {setting: d.target_checker(*found[setting]) for setting in reversed(found)}
    expected = [naive_summary(setting, *masks) for setting, masks in found.items()]
    summary = d.summary(tables)
    assert summary.schema == d.SUMMARY_SCHEMA.polars
    assert summary.to_dicts() == expected


#: |A∖B|, |A∩B| → cells of the embedded atlas at ε 0.5, C 0.5 (34 builtins × 8 layers, row by row);
#: everywhere else B covers A
NOT_COVERED = {
    (1, 2): [2, 10, 18, 34, 122, 234],
    (1, 3): [50, 66, 82, 138, 178, 218],
    (1, 4): [233, 239],
    (1, 5): [17, 41, 265],
    (1, 6): [81],
    (2, 2): [74, 194, 266],
    (4, 5): [9],
}


def test_the_embedded_atlas_has_the_mean_that_the_release_would_give():
    cells = ["0 / 4 / 1"] * (34 * 8)
    for (concept_only, shared), places in NOT_COVERED.items():
        for place in places:
            cells[place] = f"{concept_only} / {shared} / 0"
    columns = {"target": [f"builtin__b{number:02}" for number in range(34)]}
    columns |= {f"L{layer}": cells[layer::8] for layer in range(8)}
    row = d.summary({REFERENCE: pl.DataFrame(columns)}).to_dicts()[0]
    # the mean is a tie but for the order of the sum; a compensated sum gives 0.9762
    assert (row["blt_token_fraction"], row["blt_concept_fraction"]) == (0.9761, 0.0238)


def test_a_mean_over_no_concept_is_null_and_never_nan():
    universal, checker = both(np.random.default_rng(0), ("ast__C000", "ast__C002"))
    row = d.summary({REFERENCE: d.target_checker(universal, checker)}).to_dicts()[0]
    assert row["n_builtin"] == 0
    assert row["blt_concept_fraction"] is None
    assert row["mean_concept_fraction"] == row["ast_concept_fraction"] is not None
    nobody = d.target_checker(universal, checker.select([]))
    row = d.summary({REFERENCE: nobody}).to_dicts()[0]
    known = {"epsilon", "consistency", "n_testable", "n_ast", "n_builtin"}
    assert {key for key, value in row.items() if value is not None} == known


def test_masks_that_cannot_be_compared_are_refused():
    universal, checker = both(np.random.default_rng(0), ("ast__C000",))
    for other, found in (
        (Masks(checker.names, checker.bits[:, :2]), "2 layers of 24 neurons"),
        (Masks(checker.names, checker.bits[:, :, :9]), "3 layers of 9 neurons"),
        (Masks(("ast__Match",), checker.bits), "ast__Match"),
    ):
        with refused(ArtifactError, found):
            d.target_checker(universal, other)


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ({"target": ["ast__For"]}, "target"),
        ({"L0": ["1 / 2 / 3"], "target": ["ast__For"]}, "L0, target"),
        ({"target": ["ast__For"], "L1": ["1 / 2 / 3"]}, "target, L1"),
        ({"target": ["ast__For"], "L0": ["1/2/3"]}, "'1/2/3'"),
        ({"target": ["ast__For"], "L0": ["-1 / 2 / 3"]}, "'-1 / 2 / 3'"),
        ({"target": ["ast__For"], "L0": [None]}, "None"),
        ({}, "none"),
        ({"target": ["For"], "L0": ["1 / 2 / 3"]}, "'For'"),
    ],
)
def test_a_malformed_table_is_refused(table, found):
    with refused(ArtifactError, found):
        d.summary({REFERENCE: pl.DataFrame(table)})
