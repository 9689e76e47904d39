"""The claims on evidence made to bear them out, and on evidence that breaks one thing at a time."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import reduce
from pathlib import Path

import polars as pl
import pytest

from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.report.claims import Between, Exactly, Near, show
from atlas_assets.stages.report.published_claims import CLAIMS
from atlas_assets.stages.setting import REFERENCE
from atlas_assets_tests.stages.random_atlas import SWEEP
from atlas_assets_tests.stages.report.paper_evidence import PaperEvidence, paper_evidence

SPECIFICATION = Path(__file__).resolve().parents[3] / "docs" / "science.md"
ROWS = {
    *("inventory", "prompts", "keywords", "survival", "ratio", "peak", "atomicity"),
    *("modular-top", "modular-top3", "report-ei", "report-jaccard", "report-profile"),
}
SURVIVAL = " ".join(f"survival-{setting.file_tag}" for setting in SWEEP)
TAG = REFERENCE.file_tag

Edit = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture(scope="module")
def sound() -> PaperEvidence:
    return paper_evidence()


def broken(evidence: PaperEvidence) -> set[str]:
    return {claim.id for claim in CLAIMS if not claim.expected.holds(claim.observe(evidence))}


def put(value: object, column: str, here: pl.Expr) -> Edit:
    """``column`` becomes ``value`` in the rows of which ``here`` is true."""
    new = pl.when(here).then(value if isinstance(value, pl.Expr) else pl.lit(value))
    return lambda table: table.with_columns(new.otherwise(column).alias(column))


def where(**found: object) -> pl.Expr:
    return pl.all_horizontal(pl.col(name) == value for name, value in found.items())


def at(value: object, column: str, **found: object) -> Edit:
    return put(value, column, where(**found))


def at_first(value: object, column: str, here: pl.Expr) -> Edit:
    return put(value, column, here & (here.cum_sum() == 1))


def first_row(column: str, value: object) -> Edit:
    return put(value, column, pl.int_range(pl.len()) == 0)


def cells(layer: str, prefix: str, cell: str) -> Edit:
    return put(cell, layer, pl.col("target").str.starts_with(prefix))


def fewer(table: pl.DataFrame) -> pl.DataFrame:
    return table.slice(1)


def concept_dropped(concept: str) -> Edit:
    return lambda table: table.filter(pl.col("concept") != concept)


def circuit(neurons: list[int], here: pl.Expr) -> Edit:
    found = put(pl.lit(neurons, pl.List(pl.Int32)), "neurons", here)
    return lambda table: put(len(neurons), "size", here)(found(table))


def moved_to_others(table: pl.DataFrame) -> pl.DataFrame:
    """ast__Pass gets, at layer 3, the circuit of a concept that is not atomic."""
    other = table.filter(concept="ast__AnnAssign", layer=3)["neurons"][0].to_list()
    return circuit(other, where(concept="ast__Pass", layer=3))(table)


def swapped(table: pl.DataFrame) -> pl.DataFrame:
    names = {"ast__Break": "ast__ImportFrom", "ast__ImportFrom": "ast__Break"}
    return table.with_columns(pl.col("index").replace(names))


def third_at_zero(table: pl.DataFrame) -> pl.DataFrame:
    both = (at(2, column, index="builtin__len") for column in ("p=0.0", "p=0.25"))
    return reduce(lambda found, edit: edit(found), both, table)


def ratio(of_builtins: float) -> Edit:
    return at(of_builtins, "blt_concept_fraction", epsilon=0.5, consistency=0.8)


def raised(column: str, by: float, layer: int = 4, **found: object) -> Edit:
    return at(pl.col(column) + by, column, layer=layer, **found)


def similar(kind: str, found: float, to: float) -> Edit:
    """One couple of that kind and similarity at layer 4 gets another."""
    return at_first(to, "jaccard", where(type=kind, layer=4, jaccard=found))


#: by table: what happens to it, and the claims that this breaks
EDITS: dict[str, dict[str, tuple[Edit, str]]] = {
    "masks": {
        "no For": (concept_dropped("ast__For"), f"inventory-ast inventory-all {SURVIVAL}"),
        "no len": (concept_dropped("builtin__len"), f"inventory-builtin inventory-all {SURVIVAL}"),
        "a circuit empty at one setting": (
            circuit([], where(concept="builtin__len", epsilon=0.5, consistency=0.8)),
            f"survival-{TAG}",
        ),
        "an atomic concept elsewhere at layer 3": (moved_to_others, "atomicity"),
        "an empty one": (circuit([], where(concept="ast__Pass", layer=3)), "atomicity"),
    },
    "object_prompts": {
        "a pair fewer": (
            lambda table: table.filter(~where(ast_node="For", builtin_obj="list")),
            "prompts-pairs prompts-object",
        ),
        "a prompt fewer": (fewer, "prompts-per-pair prompts-object"),
        "not verified": (first_row("ast_verified", False), "prompts-object-verified"),
        "without its node": (first_row("prompt_text", "1\n"), "prompts-object-verified"),
    },
    "checker_prompts": {
        "a checker prompt fewer": (fewer, "prompts-checker"),
        "a checker prompt that shows its concept": (
            at("for i in x: pass", "prompt_text", object="ast__For"),
            "prompts-checker-verified",
        ),
    },
    "token_checker_prompts": {
        "one more": (lambda table: pl.concat([table, table.head(1)]), "prompts-token-checker"),
        "no Python": (first_row("prompt_text", "for ("), "prompts-token-checker-verified"),
    },
    "summary": {
        "more AST nodes": (at(25, "n_ast", epsilon=0.1), "keywords-testable-ast"),
        "fewer builtins": (at(33, "n_builtin", epsilon=0.1), "keywords-testable-builtin"),
        "fewer concepts": (at(57, "n_testable", epsilon=0.1), "keywords-testable"),
        "a ratio below 4": (ratio(0.1005), f"ratio-{TAG}"),
        "a ratio above 9": (ratio(0.04), f"ratio-{TAG}"),
        "no concept in the builtins at all": (ratio(0.0), f"ratio-{TAG}"),
    },
    "token_independence_no_keyword": {
        "an AST node without keyword fewer": (fewer, "keywords-none keywords-none-ast"),
        "a builtin fewer": (lambda table: table.head(-1), "keywords-none keywords-none-builtin"),
    },
    "target_checker": {
        "a lower peak": (cells("L4", "ast", "499 / 301 / 0"), "peak-height"),
        "an early peak": (cells("L2", "ast", "5001 / 2999 / 0"), "peak-layer"),
        "builtins at the peak": (cells("L4", "builtin", "11 / 89 / 4"), "peak-builtin"),
    },
    "modularity_scores": {
        "another concept on top": (swapped, "modular-top-concept modular-top-layers"),
        "Break in four layers": (at(4, "p=0.0", index="ast__Break"), "modular-top-layers"),
        "len stands apart only when trimmed": (at(2, "p=0.25", index="builtin__len"), ""),
        "another concept third at p = 0": (third_at_zero, "modular-top3"),
    },
    "compositionality": {
        "more": (raised("entanglement_index", 0.002), "report-ei-mean report-ei-median"),
        "a little more entanglement": (raised("entanglement_index", 0.0009), ""),
        "one pair more below 0.2": (
            at_first(0.19, "entanglement_index", where(layer=4) & (pl.col("unexplained") > 4000)),
            "report-ei-below",
        ),
    },
    "ockham_index": {
        "another mean": (raised("ockham_index", 0.002, type="ast"), "report-ei-ockham"),
        "similar AST nodes less similar": (
            raised("jaccard", -0.002, type="ast"),
            "report-jaccard-ast-mean report-jaccard-ast-max",
        ),
        "AST above 0.5": (similar("ast", 0.43311, 0.501), "report-jaccard-ast-above"),
        "AST at 0.5 exactly": (similar("ast", 0.43311, 0.5), ""),
        "an AST couple fewer": (
            lambda table: table.filter(pl.col("jaccard") != 0.7861),
            "report-jaccard-ast-couples report-jaccard-ast-max report-jaccard-ast-above",
        ),
        "similar builtins more similar": (
            raised("jaccard", 0.002, type="builtin"),
            "report-jaccard-builtin-mean report-jaccard-builtin-max",
        ),
        "fewer above": (similar("builtin", 0.66, 0.49), "report-jaccard-builtin-above"),
    },
    "layer_profile": {
        f"{kind} sizes": (raised("mean_size", 0.1, layer=5, type=kind), f"report-profile-{kind}")
        for kind in ("pair", "ast", "builtin")
    },
}
CHANGES = {
    f"{key}: {change}": (key, *found)
    for key, edits in EDITS.items()
    for change, found in edits.items()
}


def changed(evidence: PaperEvidence, change: str) -> PaperEvidence:
    """The evidence with one of the edits made."""
    key, edit, _ = CHANGES[change]
    setting = REFERENCE if ARTIFACTS[key].partitioned else None
    return evidence.changed(key, edit(evidence.table(key, setting)), setting)


def test_the_table_covers_every_row_and_speaks_of_real_artifacts() -> None:
    assert {claim.row for claim in CLAIMS} == ROWS
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert claim.asset in ARTIFACTS, claim.id
        assert claim.id.startswith(claim.row), claim.id
        assert re.fullmatch(r"§\d(\.\d)?|report", claim.section), claim.id
        assert claim.statement and claim.computed, claim.id
        exact = isinstance(claim.expected, Exactly)
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
    assert broken(changed(sound, change)) == set(CHANGES[change][2].split())


def test_every_claim_is_broken_by_some_change() -> None:
    breakable = {claim for *_, claims in CHANGES.values() for claim in claims.split()}
    # one setting's ratio and survival stand for those of the others
    others = {claim.id for claim in CLAIMS if claim.row == "ratio"} - {f"ratio-{TAG}"}
    assert breakable | others == {claim.id for claim in CLAIMS}


@pytest.mark.parametrize(
    ("expectation", "holding", "failing"),
    [
        (Exactly(3), [3], [4, (3, 3)]),
        (Exactly("ast__Break"), ["ast__Break"], ["ast__Pass"]),
        (Exactly(("a", "b")), [("b", "a")], [("b", "b"), "a"]),
        (Near(0.5683), [0.5693], [0.56931, "0.5683", float("nan")]),
        (Near((1.0, 2.0)), [(1.0, 2.0)], [(1.0,), (1.0, 2.0, 3.0)]),
        (Near((1.0, 2.0), places=1, tolerance=0.05), [(1.05, 1.95)], [(1.06, 2.0)]),
        (Between(4, 9), [3.9991, 9.001], [3.998, float("inf"), (4, 5)]),
        (Between(3, 7, tolerance=0), [7], [2]),
    ],
)
def test_expectations(expectation, holding, failing) -> None:
    assert [observed for observed in holding if not expectation.holds(observed)] == []
    assert [observed for observed in failing if expectation.holds(observed)] == []


def test_values_are_shown_as_readers_expect_them() -> None:
    assert show(63_800) == "63,800"
    assert show(0.56834) == "0.5683"
    assert show((1, 2)) == "1 2"
    assert show(("ast__A", "ast__B")) == "ast__A, ast__B"
    assert str(Near((385.6, 90.0), places=1)) == "385.6 90.0"
    assert str(Between(4, 9)) == "4 to 9"
    assert str(Exactly(1794)) == "1,794"
