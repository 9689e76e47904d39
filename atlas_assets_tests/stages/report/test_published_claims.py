"""The claims on evidence made to bear them out, and on evidence that breaks one thing at a time."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.report.claims import Between, Exactly, InAnyOrder, Near, show
from atlas_assets.stages.report.published_claims import CLAIMS
from atlas_assets.stages.setting import REFERENCE
from atlas_assets_tests.stages.random_atlas import SWEEP
from atlas_assets_tests.stages.report.paper_evidence import PaperEvidence, paper_evidence, without

SPECIFICATION = Path(__file__).resolve().parents[3] / "docs" / "science.md"
ROWS = {
    "inventory",
    "prompts",
    "keywords",
    "survival",
    "ratio",
    "peak",
    "modular-top",
    "modular-top3",
    "atomicity",
    "report-ei",
    "report-jaccard",
    "report-profile",
}
SURVIVAL = {f"survival-{setting.file_tag}" for setting in SWEEP}
TAG = REFERENCE.file_tag

Change = Callable[[PaperEvidence], PaperEvidence]


@pytest.fixture(scope="module")
def sound() -> PaperEvidence:
    return paper_evidence()


def broken(evidence: PaperEvidence) -> set[str]:
    return {claim.id for claim in CLAIMS if not claim.expected.holds(claim.observe(evidence))}


def edited(key: str, edit: Callable[[pl.DataFrame], pl.DataFrame], setting=None) -> Change:
    return lambda evidence: evidence.changed(key, edit(evidence.table(key, setting)), setting)


def concept_dropped(concept: str) -> Change:
    return edited("masks", lambda table: without(table, "concept", [concept]))


def circuit_emptied(table: pl.DataFrame) -> pl.DataFrame:
    here = (
        (pl.col("concept") == "builtin__len")
        & (pl.col("epsilon") == REFERENCE.epsilon)
        & (pl.col("consistency") == REFERENCE.consistency)
    )
    neurons = pl.when(here).then(pl.lit([], pl.List(pl.Int32))).otherwise(pl.col("neurons"))
    return table.with_columns(neurons=neurons, size=neurons.list.len().cast(pl.Int64))


def moved_to_others(table: pl.DataFrame) -> pl.DataFrame:
    """ast__Pass gets, at layer 3, the circuit of a concept that is not atomic."""
    other = table.filter(concept="ast__AnnAssign", layer=3).row(0, named=True)
    here = (pl.col("concept") == "ast__Pass") & (pl.col("layer") == 3)
    return table.with_columns(
        neurons=pl.when(here)
        .then(pl.lit(other["neurons"], pl.List(pl.Int32)))
        .otherwise(pl.col("neurons")),
        size=pl.when(here).then(other["size"]).otherwise(pl.col("size")),
    )


def first_row(column: str, value: object) -> Callable[[pl.DataFrame], pl.DataFrame]:
    def edit(table: pl.DataFrame) -> pl.DataFrame:
        first = pl.int_range(pl.len()) == 0
        return table.with_columns(
            pl.when(first).then(pl.lit(value)).otherwise(column).alias(column)
        )

    return edit


def at(value: object, column: str, **where: object) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """``column`` becomes ``value`` in the rows with those values."""

    def edit(table: pl.DataFrame) -> pl.DataFrame:
        here = pl.all_horizontal(pl.col(name) == found for name, found in where.items())
        new = value if isinstance(value, pl.Expr) else pl.lit(value)
        return table.with_columns(pl.when(here).then(new).otherwise(column).alias(column))

    return edit


def pair_dropped(table: pl.DataFrame) -> pl.DataFrame:
    return table.filter((pl.col("ast_node") != "For") | (pl.col("builtin_obj") != "list"))


def cells(layer: str, prefix: str, cell: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    def edit(table: pl.DataFrame) -> pl.DataFrame:
        here = pl.col("target").str.starts_with(prefix)
        return table.with_columns(pl.when(here).then(pl.lit(cell)).otherwise(layer).alias(layer))

    return edit


def swapped(table: pl.DataFrame) -> pl.DataFrame:
    names = {"ast__Break": "ast__ImportFrom", "ast__ImportFrom": "ast__Break"}
    return table.with_columns(pl.col("index").replace(names))


def seventh_below(table: pl.DataFrame) -> pl.DataFrame:
    row = table.with_row_index().filter((pl.col("layer") == 4) & (pl.col("unexplained") > 4000))
    number = row["index"][0]
    here = pl.int_range(pl.len()) == number
    return table.with_columns(
        entanglement_index=pl.when(here).then(0.19).otherwise("entanglement_index")
    )


def raised(column: str, by: float, **where: object) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return at(pl.col(column) + by, column, layer=4, **where)


def similar(kind: str, found: float, to: float) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """One couple of that kind and similarity at layer 4 gets another."""

    def edit(table: pl.DataFrame) -> pl.DataFrame:
        here = (pl.col("type") == kind) & (pl.col("layer") == 4) & (pl.col("jaccard") == found)
        first = here & (here.cum_sum() == 1)
        return table.with_columns(jaccard=pl.when(first).then(to).otherwise("jaccard"))

    return edit


CHANGES: dict[str, tuple[Change, set[str]]] = {
    "an AST node fewer": (
        concept_dropped("ast__For"),
        {"inventory-ast", "inventory-all", *SURVIVAL},
    ),
    "a builtin fewer": (
        concept_dropped("builtin__len"),
        {"inventory-builtin", "inventory-all", *SURVIVAL},
    ),
    "a circuit empty at one setting": (edited("masks", circuit_emptied), {f"survival-{TAG}"}),
    "an atomic concept elsewhere at layer 3": (edited("masks", moved_to_others), {"atomicity"}),
    "a pair fewer": (
        edited("object_prompts", pair_dropped),
        {"prompts-pairs", "prompts-object"},
    ),
    "a prompt fewer": (
        edited("object_prompts", lambda table: table.slice(1)),
        {"prompts-per-pair", "prompts-object"},
    ),
    "a prompt not verified": (
        edited("object_prompts", first_row("ast_verified", False)),
        {"prompts-object-verified"},
    ),
    "a prompt without its node": (
        edited("object_prompts", first_row("prompt_text", "1\n")),
        {"prompts-object-verified"},
    ),
    "a checker prompt fewer": (
        edited("checker_prompts", lambda table: table.slice(1)),
        {"prompts-checker"},
    ),
    "a checker prompt that shows its concept": (
        edited("checker_prompts", at("for i in x: pass", "prompt_text", object="ast__For")),
        {"prompts-checker-verified"},
    ),
    "a token-checker prompt more": (
        edited("token_checker_prompts", lambda table: pl.concat([table, table.head(1)])),
        {"prompts-token-checker"},
    ),
    "a token-checker prompt that does not parse": (
        edited("token_checker_prompts", first_row("prompt_text", "for (")),
        {"prompts-token-checker-verified"},
    ),
    "another number of testable AST nodes": (
        edited("summary", at(25, "n_ast", epsilon=0.1)),
        {"keywords-testable-ast"},
    ),
    "another number of testable builtins": (
        edited("summary", lambda table: table.with_columns(n_builtin=33)),
        {"keywords-testable-builtin"},
    ),
    "another number of testable concepts": (
        edited("summary", lambda table: table.with_columns(n_testable=57)),
        {"keywords-testable"},
    ),
    "an AST node without keyword fewer": (
        edited("token_independence_no_keyword", lambda table: table.slice(1)),
        {"keywords-none", "keywords-none-ast"},
    ),
    "a builtin without keyword fewer": (
        edited("token_independence_no_keyword", lambda table: table.head(-1)),
        {"keywords-none", "keywords-none-builtin"},
    ),
    "a ratio below 4": (
        edited("summary", at(0.1005, "blt_concept_fraction", epsilon=0.5, consistency=0.8)),
        {f"ratio-{TAG}"},
    ),
    "a ratio above 9": (
        edited("summary", at(0.04, "blt_concept_fraction", epsilon=0.5, consistency=0.8)),
        {f"ratio-{TAG}"},
    ),
    "no concept in the builtins at all": (
        edited("summary", at(0.0, "blt_concept_fraction", epsilon=0.5, consistency=0.8)),
        {f"ratio-{TAG}"},
    ),
    "a lower peak": (
        edited("target_checker", cells("L4", "ast", "499 / 301 / 0"), REFERENCE),
        {"peak-height"},
    ),
    "an early peak": (
        edited("target_checker", cells("L2", "ast", "5001 / 2999 / 0"), REFERENCE),
        {"peak-layer"},
    ),
    "builtins at the peak": (
        edited("target_checker", cells("L4", "builtin", "11 / 89 / 4"), REFERENCE),
        {"peak-builtin"},
    ),
    "another concept on top": (
        edited("modularity_scores", swapped),
        {"modular-top-concept", "modular-top-layers"},
    ),
    "Break significant in four layers": (
        edited("modularity_scores", at(4, "p=0.0", index="ast__Break")),
        {"modular-top-layers"},
    ),
    "a concept that stands apart only when trimmed": (
        edited("modularity_scores", at(2, "p=0.25", index="builtin__len")),
        set(),
    ),
    "another concept third at p = 0": (
        edited(
            "modularity_scores",
            lambda table: at(2, "p=0.25", index="builtin__len")(
                at(2, "p=0.0", index="builtin__len")(table)
            ),
        ),
        {"modular-top3"},
    ),
    "more entanglement": (
        edited("compositionality", raised("entanglement_index", 0.002)),
        {"report-ei-mean", "report-ei-median"},
    ),
    "a little more entanglement": (
        edited("compositionality", raised("entanglement_index", 0.0009)),
        set(),
    ),
    "one pair more below 0.2": (
        edited("compositionality", seventh_below),
        {"report-ei-below"},
    ),
    "another mean Ockham index": (
        edited("ockham_index", raised("ockham_index", 0.002, type="ast")),
        {"report-ei-ockham"},
    ),
    "similar AST nodes less similar": (
        edited("ockham_index", raised("jaccard", -0.002, type="ast")),
        {"report-jaccard-ast-mean", "report-jaccard-ast-max"},
    ),
    "one AST couple more above 0.5": (
        edited("ockham_index", similar("ast", 0.43311, 0.501)),
        {"report-jaccard-ast-above"},
    ),
    "an AST couple at 0.5 exactly": (
        edited("ockham_index", similar("ast", 0.43311, 0.5)),
        set(),
    ),
    "an AST couple fewer": (
        edited("ockham_index", lambda table: table.filter(pl.col("jaccard") != 0.7861)),
        {"report-jaccard-ast-couples", "report-jaccard-ast-max", "report-jaccard-ast-above"},
    ),
    "similar builtins more similar": (
        edited("ockham_index", raised("jaccard", 0.002, type="builtin")),
        {"report-jaccard-builtin-mean", "report-jaccard-builtin-max"},
    ),
    "one builtin couple fewer above 0.5": (
        edited("ockham_index", similar("builtin", 0.66, 0.49)),
        {"report-jaccard-builtin-above"},
    ),
    **{
        f"other sizes of {kind} circuits": (
            edited("layer_profile", at(pl.col("mean_size") + 0.1, "mean_size", type=kind, layer=5)),
            {f"report-profile-{kind}"},
        )
        for kind in ("pair", "ast", "builtin")
    },
}


def test_the_table_covers_every_row_and_speaks_of_real_artifacts() -> None:
    assert {claim.row for claim in CLAIMS} == ROWS
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert claim.asset in ARTIFACTS, claim.id
        assert claim.id.startswith(claim.row), claim.id
        assert re.fullmatch(r"§\d(\.\d)?|report", claim.section), claim.id
        assert claim.statement and claim.computed, claim.id
        exact = isinstance(claim.expected, Exactly | InAnyOrder)
        within = isinstance(claim.expected, Near | Between)
        assert exact != within, claim.id


def test_every_number_of_the_table_of_claims_is_expected_by_some_claim() -> None:
    """Read off the specification's own table, docs/science.md §6."""
    lines = SPECIFICATION.read_text().splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    rows = {row[0]: row[2] for row in cells if row[0] in ROWS}
    assert rows.keys() == ROWS
    for name, text in rows.items():
        of_row = [claim for claim in CLAIMS if claim.row == name]
        told = " ".join(f"{claim.expected} {claim.statement} {claim.setting}" for claim in of_row)
        spoken = {number.replace(",", "") for number in re.findall(r"\d[\d,]*(?:\.\d+)?", told)}
        if name == "survival":
            spoken.add(str(len(of_row)))
        for number in re.findall(r"\d[\d,]*(?:\.\d+)?", text):
            assert number.strip(",").replace(",", "") in spoken, (name, number)


def test_every_claim_holds_on_evidence_made_for_it(sound: PaperEvidence) -> None:
    assert broken(sound) == set()


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_breaks_the_claims_about_it_and_no_other(
    sound: PaperEvidence, change: str
) -> None:
    edit, expected = CHANGES[change]
    assert broken(edit(sound)) == expected


def test_every_claim_is_broken_by_some_change() -> None:
    breakable = set().union(*(claims for _, claims in CHANGES.values()))
    # one setting's ratio and survival stand for those of the others
    others = {claim.id for claim in CLAIMS if claim.row == "ratio"} - {f"ratio-{TAG}"}
    assert breakable | others == {claim.id for claim in CLAIMS}


@pytest.mark.parametrize(
    ("expectation", "observed", "holds"),
    [
        (Exactly(3), 3, True),
        (Exactly(3), 4, False),
        (Exactly(3), (3, 3), False),
        (Exactly("ast__Break"), "ast__Break", True),
        (Exactly("ast__Break"), "ast__Pass", False),
        (InAnyOrder(("a", "b")), ("b", "a"), True),
        (InAnyOrder(("a", "b")), ("b", "b"), False),
        (InAnyOrder(("a", "b")), "a", False),
        (Near(0.5683), 0.5693, True),
        (Near(0.5683), 0.56931, False),
        (Near(0.5683), "0.5683", False),
        (Near((1.0, 2.0), places=1, tolerance=0.05), (1.05, 1.95), True),
        (Near((1.0, 2.0), places=1, tolerance=0.05), (1.06, 2.0), False),
        (Near((1.0, 2.0)), (1.0,), False),
        (Near((1.0, 2.0)), (1.0, 2.0, 3.0), False),
        (Near(1.0), float("nan"), False),
        (Between(4, 9), 3.9991, True),
        (Between(4, 9), 3.998, False),
        (Between(4, 9), 9.001, True),
        (Between(4, 9), float("inf"), False),
        (Between(3, 7, tolerance=0), 2, False),
        (Between(3, 7, tolerance=0), 7, True),
        (Between(3, 7), (4, 5), False),
    ],
)
def test_expectations(expectation, observed, holds: bool) -> None:
    assert expectation.holds(observed) is holds


def test_values_are_shown_as_readers_expect_them() -> None:
    assert show(63_800) == "63,800"
    assert show(0.56834) == "0.5683"
    assert show((1, 2)) == "1 2"
    assert show(("ast__A", "ast__B")) == "ast__A, ast__B"
    assert str(Near((385.6, 90.0), places=1)) == "385.6 90.0"
    assert str(Between(4, 9)) == "4 to 9"
    assert str(Exactly(1794)) == "1,794"
