"""What the paper states of its whole grid is not applicable to a cut of it, and to nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from atlas_assets.atlas.open import open_folder
from atlas_assets.orchestration.checks.claims import describe
from atlas_assets.soundness.evaluate import evaluate_claims
from atlas_assets.soundness.subject import parts_cut
from atlas_assets.stages.report.claims import ClaimResult, NotApplicable
from atlas_assets.stages.report.markdown import claims_markdown
from atlas_assets.storage.provenance import Grid
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.soundness import sound_atlas
from atlas_assets_tests.soundness.test_evidence import by_id
from atlas_assets_tests.storage import release_files

#: what any atlas can be held to, whichever part of the grid it is of
OF_ANY_CUT = {"object-verified", "checker-verified", "token-checker-verified"}
OF_ANY_CUT = {f"prompts-{name}" for name in OF_ANY_CUT} | {"peak-layer", "peak-builtin"}
#: what is of as many prompts of each pair as the paper has, and of measured numbers
MEASURED = {
    *("prompts-per-pair", "prompts-object", "peak-height", "report-ei-mean", "report-ei-median"),
    *("report-ei-below", "report-ei-ockham", "report-jaccard-ast-mean", "report-jaccard-ast-max"),
    *("report-jaccard-ast-above", "report-jaccard-builtin-mean", "report-jaccard-builtin-max"),
    *("report-jaccard-builtin-above", "report-profile-pair", "report-profile-ast"),
    "report-profile-builtin",
}


@pytest.fixture(scope="module")
def of_few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas of three AST nodes and as many builtins, with 50 prompts asked for."""
    folder = tmp_path_factory.mktemp("few")
    cut = {"ast_nodes": "For,If,Pass", "builtins": "len,list,_isolated_", "variations": 50}
    sound_atlas.make(folder, **cut)
    return folder / sound_atlas.NAME


def not_applicable(results: dict[str, ClaimResult]) -> set[str]:
    return {name for name, result in results.items() if isinstance(result, NotApplicable)}


def test_of_few_concepts_what_counts_or_ranks_all_is_not_applicable(of_few: Path) -> None:
    results = by_id(open_folder(of_few))
    ratios = {name for name in results if name.startswith("ratio-")}
    assert results.keys() - not_applicable(results) == OF_ANY_CUT | ratios | {"prompts-per-pair"}
    survival = results["survival-eps0.5_cons0.8"]
    assert (survival.verdict, survival.as_in_paper) == ("not applicable", "not applicable")
    assert (survival.observed, survival.holds) == ("6", None)
    assert survival.note == (
        "the claim is of the paper's whole grid, and this atlas is of a cut of it: "
        "3 AST nodes, 3 builtins"
    )
    assert describe(survival) == f"not applicable: {survival.note}"
    # without its evidence as well: the cut is the reason, not what it lacks
    assert results["modular-top-layers"].note == survival.note
    document = claims_markdown(list(results.values()))
    assert "## Not applicable\n\n- `inventory-ast`, `inventory-builtin`" in document
    assert "| 106 | 6 | not applicable |" in document


def test_of_fewer_prompts_what_was_measured_is_not_applicable(store: AtlasStore) -> None:
    """All concepts are asked for: that most lack is judged, as the paper's files are."""
    results = by_id(store)
    assert not_applicable(results) == MEASURED
    assert results["prompts-per-pair"].observed == "3"
    assert results["inventory-all"].holds is False
    assert results["report-jaccard-ast-couples"].holds is False


def test_files_of_the_release_keep_every_claim_whatever_the_settings_say(
    sound: Path, tmp_path: Path
) -> None:
    made = open_folder(sound / sound_atlas.NAME)
    for setting in made.sweep:
        path = tmp_path / made.path("object_masks", setting).name
        release_files.write_object_masks(path, made.read("object_masks", setting))
    settings = sound_atlas.settings_in(tmp_path, ast_nodes="For", builtins="list")
    unknown = evaluate_claims(open_folder(tmp_path), settings)
    assert "inventory-ast" in {r.id for r in unknown if isinstance(r, NotApplicable)}
    release_files.note_fetched(tmp_path)
    fetched = {r.id: r for r in evaluate_claims(open_folder(tmp_path), settings)}
    assert not not_applicable(fetched)
    assert fetched["inventory-ast"].verdict == "broken"
    assert fetched["prompts-pairs"].verdict == "cannot be evaluated"


def test_damage_is_told_of_a_cut_too(of_few: Path, tmp_path: Path) -> None:
    folder = tmp_path / of_few.name
    shutil.copytree(of_few, folder)
    path = folder / "14_summary.csv"
    path.write_text("not,a\nsummary\n")
    testable = by_id(open_folder(folder))["keywords-testable"]
    assert testable.unreadable
    assert testable.verdict == "not evaluated"


def test_more_prompts_and_dropped_pairs_are_no_cut() -> None:
    assert parts_cut(Grid(variations=100, loss_threshold=2.0)) == set()
    assert parts_cut(Grid(ast_nodes=("For",), variations=49)) == {"ast_nodes", "variations"}
    assert parts_cut(Grid(builtins=("len",))) == {"builtins"}
