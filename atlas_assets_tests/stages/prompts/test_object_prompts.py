"""Stage 11A against the published rows, and what a cut grid and a loss filter may change."""

from __future__ import annotations

from collections import defaultdict

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from atlas_assets.errors import SettingsError, StimulusError
from atlas_assets.stages.prompts.object_prompts import (
    CANDIDATE_SCHEMA,
    PUBLISHED_SCHEMA,
    candidate_pairs,
    filter_by_loss,
    generate,
)
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets_tests.oracles.row_digest import frame_digest

#: frame_digest of the golden object_candidates.parquet, all seven columns
CANDIDATES_SHA256 = "df1919d5b04b32d1256be8dbb5cf4c4ad9c67fbbfbb04e79475dd4a67ec6849f"
STIMULI = load_stimuli()
NODES, BUILTINS = STIMULI.object_prompts.grid_ast_nodes, STIMULI.object_prompts.grid_builtins
COLUMNS = PUBLISHED_SCHEMA.polars.names()


@pytest.fixture(scope="module")
def published() -> pl.DataFrame:
    return generate(STIMULI)


def test_candidates_are_the_published_rows(published: pl.DataFrame) -> None:
    assert dict(published.schema) == CANDIDATE_SCHEMA
    assert published.height == 64_850 == 50 * len(candidate_pairs(STIMULI))
    assert frame_digest(published) == CANDIDATES_SHA256


def subsets(names: tuple[str, ...]) -> st.SearchStrategy[list[str] | None]:
    return st.none() | st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True)


@given(nodes=subsets(NODES), builtins=subsets(BUILTINS), variations=st.integers(1, 12))
@settings(max_examples=8, deadline=None)
def test_a_cut_grid_is_a_row_subset_of_the_published_one(
    nodes: list[str] | None, builtins: list[str] | None, variations: int, published: pl.DataFrame
) -> None:
    assume(nodes is not None or builtins is not None)
    expected = published.filter(
        pl.col("ast_node").is_in(nodes or NODES),
        pl.col("builtin_obj").is_in(builtins or BUILTINS),
        pl.col("variation_id") < variations,
    )
    assume(expected.height)
    cut = generate(STIMULI, ast_nodes=nodes, builtins=builtins, variations=variations)
    assert cut.equals(expected)


def test_more_variations_than_published(published: pl.DataFrame) -> None:
    more = generate(STIMULI, ast_nodes=["For"], builtins=["dict", "set"], variations=60)
    assert more["variation_id"].to_list() == [*range(60), *range(60)]
    assert more["ast_verified"].all()
    assert more["domain"].to_list()[::5] == ["finance"] * 24
    both = generate(STIMULI, ast_nodes=["For", "While"], builtins=["set"], variations=60)
    of_set = more.filter(builtin_obj="set")
    assert of_set.equals(both.filter(ast_node="For"))
    drawn = published.filter(ast_node="For", builtin_obj="set")["prompt_text"].to_list()
    assert of_set["prompt_text"].to_list()[:50] != drawn


@pytest.mark.parametrize(
    ("nodes", "builtins", "message"),
    [
        (["For", "for"], None, r"ATLAS_AST_NODES[\s\S]*did you mean For"),
        (None, ["lenn"], r"ATLAS_BUILTINS[\s\S]*did you mean len"),
        (["ExceptHandler"], None, "unknown AST node 'ExceptHandler'"),
        (["For"], ["ValueError"], "choose builtins among: bytearray, bytes, dict"),
        (["Pass"], ["list"], "choose builtins among: _isolated_"),
        ([], None, "AST nodes none; builtins all"),
        (None, [], "AST nodes all; builtins none"),
    ],
)
def test_unknown_names_and_cuts_that_leave_no_pair_are_refused(
    nodes: list[str] | None, builtins: list[str] | None, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        generate(STIMULI, ast_nodes=nodes, builtins=builtins)


def scored(losses: dict[tuple[str, str], list[float]], rounds: int = 1) -> pl.DataFrame:
    """Prompts of each pair; with two rounds, a pair's prompts are not next to each other."""
    rows = [
        (node, builtin, i, f"{node} {builtin} {i}", loss, 5, True, "gaming")
        for part in range(rounds)
        for (node, builtin), values in losses.items()
        for i, loss in enumerate(values)
        if i % rounds == part
    ]
    return pl.DataFrame(rows, schema=[*COLUMNS, "domain"], orient="row")


def kept_by_hand(frame: pl.DataFrame, threshold: float) -> tuple[list[int], list[str], float]:
    """Naive oracle: indices of the rows that stay, names of the pairs that go, lowest mean."""
    by_pair: dict[tuple[str, str], list[float]] = defaultdict(list)
    for node, builtin, *_, loss, _, _, _ in frame.rows():
        by_pair[node, builtin].append(loss)
    means = {pair: sum(losses) / len(losses) for pair, losses in by_pair.items()}
    gone = {pair for pair, mean in means.items() if mean > threshold}
    stays = [i for i, pair in enumerate(frame[:, :2].rows()) if pair not in gone]
    return stays, sorted(f"{node}__{builtin}" for node, builtin in gone), min(means.values())


pairs = st.tuples(st.sampled_from(NODES[:4]), st.sampled_from(BUILTINS[:4]))
# quarters, so that a mean that meets the threshold meets it exactly
quarters = st.integers(0, 24).map(lambda n: n / 4)


@given(
    losses=st.dictionaries(pairs, st.lists(quarters, min_size=1, max_size=4), min_size=1),
    threshold=quarters.filter(bool),
    rounds=st.integers(1, 2),
)
@settings(max_examples=60, deadline=None)
def test_the_filter_agrees_with_the_naive_one(
    losses: dict[tuple[str, str], list[float]], threshold: float, rounds: int
) -> None:
    frame = scored(losses, rounds)
    stays, gone, lowest = kept_by_hand(frame, threshold)
    if not stays:
        with pytest.raises(StimulusError, match=f"lowest mean loss {lowest:.4f} nats"):
            filter_by_loss(frame, threshold)
        return
    left, dropped = filter_by_loss(frame, threshold)
    assert dropped == gone
    assert left.columns == COLUMNS
    assert left.equals(frame.select(COLUMNS)[stays])
