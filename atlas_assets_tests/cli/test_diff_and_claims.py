"""``atlas diff`` and ``atlas claims``."""

from __future__ import annotations

import shutil
from pathlib import Path

from atlas_assets.soundness.evaluate import evaluate_claims
from atlas_assets.stages.setting import STANDALONE, Setting
from atlas_assets_tests.cli.conftest import Call
from atlas_assets_tests.sample_atlas import NAME, make
from atlas_assets_tests.storage import release_files, samples


def test_the_same_atlas(made: Path, tmp_path: Path, call: Call) -> None:
    copy = shutil.copytree(made / NAME, tmp_path / "copy")
    shown = call(made, "diff", str(made / NAME), str(copy))
    assert shown.code == 0
    assert "no difference (2 common settings)" in shown.out
    document = call(made, "diff", NAME, str(copy), "--json").json
    assert document["schema"] == "atlas.diff/1"
    assert document["identical"]
    assert document["a"] == str(made / NAME)
    assert (document["neurons"], document["files"], document["claims"]) == ([], [], [])


def test_another_atlas_by_name(made: Path, call: Call) -> None:
    shown = call(made, "diff", NAME, "other", "--top", "4")
    assert shown.code == 1
    lines = shown.out.splitlines()
    assert max(map(len, lines)) <= 100
    assert any(line.split() == ["object_masks", "2", "differs"] for line in lines)
    start = next(i for i, line in enumerate(lines) if line.startswith("changed most (4 of "))
    listed = [line.split() for line in lines[start + 2 : start + 6]]
    changes = [int(row[6]) + int(row[7]) for row in listed]
    assert changes == sorted(changes, reverse=True)
    assert "claims that come out differently" in lines


def test_the_document_lists_the_neurons(made: Path, call: Call) -> None:
    document = call(made, "diff", NAME, "other", "--no-claims", "--json").json
    assert document["claims"] is None
    for row in document["neurons"]:
        assert len(row["neurons_gained"]) == row["gained"]
        assert len(row["neurons_lost"]) == row["lost"]
        assert row["size_b"] - row["size_a"] == row["gained"] - row["lost"]
    assert sum(row["changed"] for row in document["circuits"]) == len(document["neurons"])


def test_a_folder_that_is_not_there(made: Path, call: Call) -> None:
    shown = call(made, "diff", NAME, "nowhere", "--json")
    assert shown.code == 3
    assert shown.json["kind"] == "MissingArtifactError"
    assert shown.json["exit_code"] == 3
    assert "there is no atlas" in shown.err


def test_claims_of_another_model_are_observed_not_claimed(made: Path, call: Call) -> None:
    shown = call(made, "claims")
    assert shown.code == 0
    assert "observed in: embedded, readout last_token" in shown.out
    assert "observed, not claimed" in shown.out
    assert max(map(len, shown.out.splitlines())) <= max(100, len(str(made)) + 20)
    document = call(made, "claims", "--json").json
    assert document["schema"] == "atlas.claims/1"
    results = evaluate_claims(make_store(made))
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
    results = evaluate_claims(make_store(made))
    assert len(rows) == len(results)
    assert all(row.replace("\\|", "").count("|") == 4 for row in rows)
    assert results[0].statement in rows[0]


def make_store(data: Path):  # type: ignore[no-untyped-def]
    from atlas_assets.atlas.open import open_folder

    return open_folder(data / NAME)


def test_a_broken_claim_about_this_atlas_is_a_finding(tmp_path: Path, call: Call) -> None:
    """Masks without any record count as the paper's, and five pairs are not its 1,276."""
    folder = tmp_path / NAME
    folder.mkdir()
    for setting in (Setting(0.5, 0.8), STANDALONE):
        path = folder / f"13_object_masks_{setting.file_tag}.h5"
        release_files.write_object_masks(path, samples.objects(setting))
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


def test_an_absent_file_leaves_claims_unevaluated_and_is_no_error(data: Path, call: Call) -> None:
    (data / NAME / "14_summary.csv").unlink()
    document = call(data, "claims", "--json")
    assert document.code == 0
    assert not any(claim["unreadable"] for claim in document.json["claims"])


def test_a_folder_without_files_of_an_atlas_cannot_be_compared(data: Path, call: Call) -> None:
    empty = data / "no-atlas"
    empty.mkdir()
    (empty / "notes.txt").write_text("nothing of an atlas")
    shown = call(data, "diff", NAME, "no-atlas")
    assert shown.code == 3
    assert "no file of an atlas" in shown.err


def test_a_second_sample_differs_from_the_first(tmp_path: Path) -> None:
    one, two = make(tmp_path), make(tmp_path, name="two", seed=5)
    digests = [store.provenance("object_activations") for store in (one, two)]
    assert digests[0] is not None
    assert digests[1] is not None
    assert digests[0].payload_sha256 != digests[1].payload_sha256
