"""What is told of each claim: verdicts, subjects, notes."""

from __future__ import annotations

from pathlib import Path

from atlas_assets.atlas.open import open_folder
from atlas_assets.soundness.evaluate import evaluate_claims
from atlas_assets.soundness.subject import FROZEN
from atlas_assets.stages.report.claims import ClaimResult
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.soundness import sound_atlas
from atlas_assets_tests.storage import release_files


def by_id(store: AtlasStore) -> dict[str, ClaimResult]:
    return {result.id: result for result in evaluate_claims(store)}


def test_files_of_the_release_are_frozen_artifacts(sound: Path, tmp_path: Path) -> None:
    made = open_folder(sound / sound_atlas.NAME)
    for setting in made.sweep:
        path = tmp_path / made.path("object_masks", setting).name
        release_files.write_object_masks(path, made.read("object_masks", setting))
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
