"""What is told of each claim, where the evidence comes from, and what is never used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from atlas_assets.atlas.open import open_folder
from atlas_assets.errors import ArtifactError
from atlas_assets.soundness import evaluate
from atlas_assets.soundness.evaluate import evaluate_claims
from atlas_assets.soundness.subject import FROZEN, Subject
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.report.claims import ClaimResult, Evidence
from atlas_assets.stages.report.published_claims import CLAIMS
from atlas_assets.stages.setting import REFERENCE, STANDALONE
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.soundness import sound_atlas
from atlas_assets_tests.storage import release_files

#: tables that follow from masks, with the files they have
COMPUTED = ("modularity_scores", "summary", "token_independence_no_keyword", "target_checker")


def by_id(store: AtlasStore) -> dict[str, ClaimResult]:
    return {result.id: result for result in evaluate_claims(store)}


def remove(store: AtlasStore, key: str) -> None:
    for setting in store.sweep if ARTIFACTS[key].partitioned else (None,):
        Path(str(store.path(key, setting))).unlink()


def observed(results: dict[str, ClaimResult]) -> dict[str, tuple[str, str]]:
    return {name: (result.observed, result.verdict) for name, result in results.items()}


def test_what_follows_from_masks_is_computed_where_it_is_not_there(store: AtlasStore) -> None:
    before = by_id(store)
    assert "relaxed_modularity_scores.csv" in before["modular-top-concept"].sources
    for key in COMPUTED:
        remove(store, key)
    after = by_id(store)
    assert observed(after) == observed(before)
    assert after["modular-top-concept"].sources == ("13_universal_masks_sweep.parquet",)
    tag = REFERENCE.file_tag
    assert after["peak-height"].sources == (
        f"13_checker_masks_{tag}.h5",
        "13_universal_masks_sweep.parquet",
    )
    remove(store, "masks")
    without_table = by_id(store)
    assert observed(without_table) == observed(before)
    assert without_table["modular-top-concept"].sources == (f"13_object_masks_{tag}.h5",)


def test_the_standalone_file_alone_serves_for_its_setting(store: AtlasStore) -> None:
    before = by_id(store)
    for key in ("masks", "object_masks"):
        remove(store, key)
    after = by_id(store)
    name = f"survival-{STANDALONE.file_tag}"
    assert observed(after)[name] == observed(before)[name]
    assert after[name].sources == ("universal_106x50.h5",)
    assert after[f"survival-{REFERENCE.file_tag}"].holds is None
    assert after["report-jaccard-ast-couples"].observed == "3"


def test_a_table_that_is_out_of_date_is_not_used(store: AtlasStore) -> None:
    """New masks at the reference setting; every table is still about the old ones."""
    before = by_id(store)
    masks = sound_atlas.activations(
        tuple(f"{node}__{name}" for node, name in sound_atlas.PAIRS), seed=5
    )
    store.write("object_activations", masks)
    after = by_id(store)
    tag = REFERENCE.file_tag
    # the table of masks still follows from the files of masks that are there
    assert after[f"survival-{tag}"].observed == before[f"survival-{tag}"].observed
    remove(store, "masks")
    gone = by_id(store)[f"survival-{tag}"]
    assert gone.holds is None
    assert "out of date: object_activations has changed since" in gone.note


def test_files_of_the_release_are_frozen_artifacts(sound: Path, tmp_path: Path) -> None:
    made = open_folder(sound / sound_atlas.NAME)
    for setting in made.sweep:
        path = tmp_path / made.path("object_masks", setting).name
        release_files.write_object_masks(path, made.read("object_masks", setting))
    unknown = by_id(open_folder(tmp_path))["report-ei-mean"]
    assert unknown.verdict == "observed, not claimed"
    assert unknown.model == "unknown (files of unknown origin)"
    release_files.note_fetched(tmp_path)
    fetched = open_folder(tmp_path)
    results = by_id(fetched)
    result = results["report-ei-mean"]
    assert result.about_this_atlas
    assert result.verdict == "broken"
    assert result.model == FROZEN.model
    assert result.readout == "published"
    assert result.note == ""
    assert results["prompts-pairs"].verdict == "cannot be evaluated"


def test_nothing_is_claimed_of_what_is_not_known(tmp_path: Path) -> None:
    results = evaluate_claims(open_folder(tmp_path))
    assert {result.verdict for result in results} == {"not evaluated"}
    assert {result.model for result in results} == {"unknown"}


def test_a_damaged_table_is_not_replaced_by_a_guess(store: AtlasStore) -> None:
    path = Path(str(store.path("modularity_scores")))
    path.write_text(path.read_text().replace("ast__For", "ast__Fro"))
    result = by_id(store)["modular-top-concept"]
    assert result.holds is None
    assert "edited" in result.note
    assert str(path.parent) not in result.note


def test_what_cannot_be_evaluated_is_about_the_files_that_it_was_looked_for_in(
    store: AtlasStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(evidence: Evidence) -> int:
        evidence.table("summary")
        raise ArtifactError("the atlas does not hold what the claim speaks of")

    def nobody(*_: object) -> Subject:
        raise AssertionError("all files were asked what they are about")

    monkeypatch.setattr(evaluate, "subject_of_atlas", nobody)
    claim = next(claim for claim in CLAIMS if claim.id == "keywords-testable")
    (result,) = evaluate_claims(store, claims=[replace(claim, observe=lacking)])
    assert result.holds is None
    summary = store.provenance("summary")
    assert summary is not None and summary.lineage is not None
    assert summary.lineage.model is not None
    assert result.model == summary.lineage.model.model_id
