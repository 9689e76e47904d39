"""What is recorded, what contradicts what, and how that is said."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import ArtifactError, DamagedArtifactError, ProvenanceError
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.provenance import (
    FORMAT_VERSION,
    Lineage,
    Provenance,
    combine,
    contradictions,
    is_of_another_atlas,
    require,
)
from atlas_assets_tests.storage.defects import refusing
from atlas_assets_tests.storage.samples import LINEAGE, provenance


def with_model(**fields: Any) -> Lineage:
    return LINEAGE.model_copy(update={"model": LINEAGE.model.model_copy(update=fields)})


def with_grid(**fields: Any) -> Lineage:
    return LINEAGE.model_copy(update={"grid": LINEAGE.grid.model_copy(update=fields)})


@settings(deadline=None, max_examples=40)  # a busy machine is no failure
@given(
    inputs=st.dictionaries(st.text(), st.text()),
    epsilon=st.floats(0, 1),
    threshold=st.none() | st.floats(0.1, 10),
    remark=st.sampled_from(["", "in padded batches"]),
)
def test_a_record_survives_its_json(
    inputs: dict[str, str], epsilon: float, threshold: float | None, remark: str
) -> None:
    record = provenance(
        inputs=inputs,
        setting=Setting(epsilon or 0.0, 0.5),
        lineage=with_grid(loss_threshold=threshold, ast_nodes=("For",)),
        remark=remark,
    )
    text = record.to_json()
    assert Provenance.from_json(text, where="file") == record
    options = {"sort_keys": True, "separators": (",", ":"), "ensure_ascii": False}
    assert text == json.dumps(json.loads(text), **options)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "Expecting"),
        ("[]", "1 validation error"),
        ("{}", "format_version"),
        ('{"format_version": 1}', "validation errors"),
        ("[" * 10_000 + "]" * 10_000, "too deeply"),
        ('{"artifact": "\\ud800"}', "surrogates"),
    ],
)
def test_a_damaged_record_is_refused(text: str, found: str) -> None:
    with refusing(ArtifactError, "provenance record is damaged", "masks.h5", found):
        Provenance.from_json(text, where="masks.h5")


def test_an_edited_record_is_damaged_and_an_earlier_one_without_a_digest_is_read() -> None:
    record = provenance(code_version="1")
    edited = record.to_json().replace('"code_version":"1"', '"code_version":"9"')
    with refusing(DamagedArtifactError, "record is damaged", "masks.h5", "edited after"):
        Provenance.from_json(edited, where="masks.h5")
    without = json.dumps(record.model_dump(mode="json"))
    with refusing(DamagedArtifactError, "record is damaged", "masks.h5", "is missing"):
        Provenance.from_json(without, where="masks.h5")
    earlier = record.model_copy(update={"format_version": 1})
    text = json.dumps(earlier.model_dump(mode="json"))
    assert Provenance.from_json(text, where="masks.h5") == earlier


def test_a_newer_format_is_refused() -> None:
    newer = provenance(format_version=FORMAT_VERSION + 1).to_json()
    with refusing(ArtifactError, "newer version", f"format version {FORMAT_VERSION + 1}"):
        Provenance.from_json(newer, where="masks.h5")


@pytest.mark.parametrize(
    ("stored", "field", "was", "wanted"),
    [
        (with_model(model_id="other"), "model.model_id", "other", "embedded"),
        (with_model(revision="abc"), "model.revision", "abc", None),
        (with_model(weights_sha256="ff"), "model.weights_sha256", "ff", "a1" * 32),
        (with_model(tokenizer_sha256="ff"), "model.tokenizer_sha256", "ff", "b2" * 32),
        (LINEAGE.model_copy(update={"readout": "published"}), "readout", "published", "last_token"),
        (LINEAGE.model_copy(update={"dtype": "float16"}), "dtype", "float16", "float32"),
        (with_grid(ast_nodes=("For",)), "grid.ast_nodes", ("For",), None),
        (with_grid(builtins=("len",)), "grid.builtins", ("len",), None),
        (with_grid(variations=5), "grid.variations", 5, 50),
        (with_grid(stimuli="p.csv"), "grid.stimuli", "p.csv", None),
        (with_grid(loss_threshold=9.0), "grid.loss_threshold", 9.0, 3.0),
        (LINEAGE.model_copy(update={"seeds": {"prompts": 7}}), "seeds.prompts", 7, 42),
    ],
)
def test_each_field_contradicts_in_both_directions(
    stored: Lineage, field: str, was: object, wanted: object
) -> None:
    assert contradictions(stored, LINEAGE) == [(field, was, wanted)]
    assert contradictions(LINEAGE, stored) == [(field, wanted, was)]


@pytest.mark.parametrize(
    "ignorant",
    [
        LINEAGE,
        Lineage(),
        LINEAGE.model_copy(update={"model": None}),
        LINEAGE.model_copy(update={"grid": None}),
        LINEAGE.model_copy(update={"readout": None, "dtype": None, "seeds": {}}),
        with_model(tokenizer_sha256=None),
        with_grid(loss_threshold=None),
        # a model that could not be looked up: neither weights nor revision are known
        with_model(weights_sha256=None, tokenizer_sha256=None),
    ],
)
def test_what_is_not_known_contradicts_nothing(ignorant: Lineage) -> None:
    assert contradictions(ignorant, LINEAGE) == []
    assert contradictions(LINEAGE, ignorant) == []
    assert contradictions(ignorant, with_model(revision="abc")) == (
        [("model.revision", None, "abc")]
        if ignorant.model and ignorant.model.weights_sha256
        else []
    )


def test_the_wrong_artifact_is_a_contradiction() -> None:
    stored = provenance("object_masks", setting=Setting(0.1, 0.2))
    with pytest.raises(ProvenanceError, match="artifact = checker_masks"):
        require(stored, LINEAGE, artifact="checker_masks", path="p")
    require(stored, LINEAGE, artifact="object_masks", path="p", partition=Setting(0.1, 0.2))


def test_inputs_that_contradict_each_other_do_not_combine() -> None:
    assert combine([LINEAGE, LINEAGE, with_grid(loss_threshold=None)], artifact="x") == LINEAGE
    for order in itertools.permutations([LINEAGE, with_model(model_id="other")]):
        with pytest.raises(ProvenanceError, match=r"model\.model_id"):
            combine(order, artifact="target_checker")


def test_own_prompts_are_another_atlas_by_name_and_a_newer_state_by_digest() -> None:
    mine = with_grid(stimuli="p.csv", stimuli_sha256="a")
    changed = with_grid(stimuli="p.csv", stimuli_sha256="b")
    found = contradictions(mine, changed)
    assert found == [("grid.stimuli_sha256", "a", "b")]
    assert not is_of_another_atlas(found)
    assert is_of_another_atlas(contradictions(mine, LINEAGE))
    assert not contradictions(mine, with_grid(stimuli="p.csv"))
    # records of the published inventory are as they were before there were own prompts
    assert "stimuli" not in provenance().to_json()
    record = provenance(lineage=mine)
    assert Provenance.from_json(record.to_json(), where="p") == record
