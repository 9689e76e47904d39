"""``atlas claims``."""

from __future__ import annotations

from pathlib import Path

from atlas_assets.atlas.open import open_folder
from atlas_assets.soundness.evaluate import evaluate_claims
from atlas_assets.stages.setting import STANDALONE, Setting
from atlas_assets_tests.cli.conftest import Call
from atlas_assets_tests.sample_atlas import NAME
from atlas_assets_tests.storage import release_files, samples


def test_claims_of_another_model_are_observed_not_claimed(made: Path, call: Call) -> None:
    shown = call(made, "claims")
    assert shown.code == 0
    assert "observed in: embedded, readout last_token" in shown.out
    assert "observed, not claimed" in shown.out
    assert max(map(len, shown.out.splitlines())) <= max(100, len(str(made)) + 20)
    document = call(made, "claims", "--json").json
    assert document["schema"] == "atlas.claims/1"
    results = evaluate_claims(open_folder(made / NAME))
    assert [claim["id"] for claim in document["claims"]] == [result.id for result in results]
    assert sum(document["verdicts"].values()) == len(results)
    claim = document["claims"][0]
    keys = {"id", "section", "statement", "asset", "expected", "observed", "holds", "verdict"}
    assert keys <= claim.keys()
    assert not claim["about_this_atlas"]


def test_claims_as_a_table_for_another_document(made: Path, call: Call) -> None:
    shown = call(made, "claims", "--markdown")
    assert shown.code == 0
    header, rule, *rows = shown.out.splitlines()
    assert header == "| claim | expected (`openai/circuit-sparsity`) | observed |"
    assert rule == "| --- | --- | --- |"
    results = evaluate_claims(open_folder(made / NAME))
    assert len(rows) == len(results)
    assert all(row.replace("\\|", "").count("|") == 4 for row in rows)
    assert results[0].statement in rows[0]


def test_a_broken_claim_about_this_atlas_is_a_finding(tmp_path: Path, call: Call) -> None:
    """Masks as fetched from the paper's repository are its own: five pairs are not its 1,276."""
    folder = tmp_path / NAME
    folder.mkdir()
    for setting in (Setting(0.5, 0.8), STANDALONE):
        path = folder / f"13_object_masks_{setting.file_tag}.h5"
        release_files.write_object_masks(path, samples.objects(setting))
    assert call(tmp_path, "claims", "--broken").code == 0  # of unknown origin
    release_files.note_fetched(folder)
    shown = call(tmp_path, "claims", "--broken")
    assert shown.code == 1
    assert "106 concepts" in shown.out
    assert "broken" in shown.out
    document = call(tmp_path, "claims", "--broken", "--json")
    assert document.code == 1
    assert {claim["verdict"] for claim in document.json["claims"]} == {"broken"}
    whole = call(tmp_path, "claims", "--json").json
    assert len(whole["claims"]) > len(document.json["claims"])
    assert whole["verdicts"]["broken"] == len(document.json["claims"])


def test_damaged_evidence_is_a_note(data: Path, call: Call) -> None:
    (data / NAME / "14_summary.csv").write_text("not,a\nsummary\n")
    shown = call(data, "claims")
    assert "Traceback" not in shown.err
    assert "14_summary.csv" in shown.out
    assert shown.code == 3
    claims = call(data, "claims", "--json").json["claims"]
    assert {claim["asset"] for claim in claims if claim["unreadable"]} == {"summary"}
    # an absent file leaves claims unevaluated, and is no error
    (data / NAME / "14_summary.csv").unlink()
    document = call(data, "claims", "--json")
    assert document.code == 0
    assert not any(claim["unreadable"] for claim in document.json["claims"])
