"""``12_*_activations.h5``: what plain h5py sees, round trips, what is refused."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.errors import ArtifactError
from atlas_assets.storage.activations import ActivationsFile
from atlas_assets_tests.storage.defects import (
    Edit,
    attribute,
    edit_in_place,
    refusing,
    replaced,
    require_named,
    require_vectors,
)
from atlas_assets_tests.storage.release_files import write_activations
from atlas_assets_tests.storage.samples import (
    CONCEPTS,
    LAYERS,
    PAIRS,
    activations,
    equal,
    provenance,
)

PAIR_FILE = ActivationsFile("pairs", "11A_object_prompts.parquet")
CONCEPT_FILE = ActivationsFile("concepts", "11B_checker_prompts.parquet")


def written(path: Path) -> Path:
    value = activations()
    PAIR_FILE.write(path, value, provenance("object_activations", payload_sha256=value.digest()))
    return path


@settings(deadline=None, max_examples=40)  # a busy machine is no failure
@given(
    seed=st.integers(0, 99),
    units=st.integers(0, 5),
    layers=st.integers(1, 12),
    width=st.integers(1, 40),
)
def test_round_trip(seed: int, units: int, layers: int, width: int) -> None:
    value = activations(PAIRS[:units], seed=seed, layers=layers, width=width)
    record = provenance(payload_sha256=value.digest())
    data = PAIR_FILE.encode(value, record)
    assert data == PAIR_FILE.encode(value, record)
    read, stored = PAIR_FILE.read(data)
    assert equal(read, value)
    assert stored == record


def test_plain_h5py_sees_the_published_layout(path: Path) -> None:
    value = activations()
    with h5py.File(written(path)) as file:
        assert sorted(file) == ["activations", "firing_counts", "metadata", "n_prompts"]
        assert sorted(file["activations"]) == [f"layer_{layer}" for layer in range(LAYERS)]
        require_vectors(file, "activations", PAIRS, value.sums)
        require_vectors(file, "firing_counts", PAIRS, value.counts)
        assert [file["n_prompts"][name][()] for name in PAIRS] == value.n_prompts.tolist()
        attributes = file["metadata"].attrs
        assert (attributes["n_layers"], attributes["n_pairs"]) == (LAYERS, len(PAIRS))
        assert attributes["model_id"] == "embedded"
        assert attributes["input_file"] == "11A_object_prompts.parquet"
        assert file["metadata/ast_nodes"].asstr()[:].tolist() == ["For", "If", "Import"]
        assert file["metadata/builtin_objs"].asstr()[:].tolist() == ["_isolated_", "len", "list"]


def without_counts_and_with_vectors_of_one(file: h5py.File) -> None:
    del file["metadata"]
    for name in PAIRS:
        n = file["n_prompts"][name][()]
        del file["n_prompts"][name]
        file["n_prompts"][name] = np.array([n], dtype=np.int32)


@pytest.mark.parametrize("edits", [(), (without_counts_and_with_vectors_of_one,)])
def test_files_of_the_release_are_read(path: Path, edits: tuple[Edit, ...]) -> None:
    write_activations(path, activations())
    edit_in_place(path, *edits)
    read, record = PAIR_FILE.read(path)
    assert equal(read, activations())
    assert record is None


A = "activations/layer_2/If__len"
C = "firing_counts/layer_2/If__len"


@pytest.mark.parametrize(
    ("edit", "where", "expected", "found"),
    [
        (replaced(A), A, "a dataset", "none of that name"),
        (replaced(A, np.zeros(15, "f4")), A, "(16,)", "(15,)"),
        (replaced(A, np.zeros((16, 1), "f4")), A, "(16,)", "(16, 1)"),
        (replaced(A, np.zeros(16, "i4")), A, "float32", "int32"),
        (replaced(C, np.zeros(16, "f4")), C, "int32", "float32"),
        (replaced(A, np.full(16, np.nan, "f4")), "sums of If__len, layer 2", "finite", "nan"),
        (replaced(A, np.full(16, -1, "f4")), "sums of If__len, layer 2", "≥ 0", "-1.0"),
        (replaced(C, np.full(16, 99, "i4")), "counts of If__len, layer 2", "0..", "99"),
        (replaced(C, np.full(16, -1, "i4")), "counts of If__len, layer 2", "0", "-1"),
        (replaced("n_prompts/If__len"), "n_prompts/If__len", "a dataset", "none"),
        (replaced("n_prompts/If__len", 0), "n_prompts of If__len", "at least 1", "0"),
        (replaced("n_prompts/If__len", 2**32), "n_prompts", "32 bits", str(2**32)),
        (replaced("n_prompts/If__len", 1e30), "n_prompts/If__len", "whole number", "1e+30"),
        (replaced("n_prompts/If__len", 1.5), "n_prompts/If__len", "whole number", "float64"),
        (replaced("n_prompts/If__len", [1, 2]), "n_prompts/If__len", "whole number", "(2,)"),
        (replaced("activations"), "/activations", "a group", "none"),
        (replaced("activations/layer_5"), "/activations/layer_5", "6 layers", "layer_4"),
        (replaced("firing_counts/layer_0"), "/firing_counts/layer_0", "6 layers", "layer_1"),
        (attribute("n_layers", 7), "/activations/layer_6", "7 layers", "layer_5"),
        (attribute("n_layers", 5), "/activations/layer_5", "5 layers", "one more"),
        (attribute("n_layers", "six"), "n_layers", "a whole number", "'six'"),
        (attribute("n_pairs", 6), "/activations", "6 units", "5"),
        (attribute("width", 2048), "/activations/layer_0/For__len", "(2048,)", "(16,)"),
        (attribute("provenance", "{"), "provenance", "JSON", "Expecting"),
    ],
)
def test_each_defect_is_named(
    path: Path, edit: Edit, where: str, expected: str, found: str
) -> None:
    edit_in_place(written(path), edit)
    require_named(PAIR_FILE, path, where, expected, found)


def test_changed_content_is_noticed(path: Path) -> None:
    edit_in_place(written(path), replaced(A, activations().sums[3, 2] + 0.25))
    with pytest.raises(ArtifactError, match="not what was written"):
        PAIR_FILE.read(path)


def test_units_must_be_of_the_kind_that_the_file_holds(path: Path) -> None:
    strangers = activations(("For", "If"))
    with pytest.raises(ArtifactError, match="not the name of a pair"):
        PAIR_FILE.write(path, strangers, provenance())
    with pytest.raises(ArtifactError, match="not the name of a concept"):
        CONCEPT_FILE.write(path, strangers, provenance())
    assert not path.exists()
    CONCEPT_FILE.write(path, activations(CONCEPTS), provenance(payload_sha256="00"))
    assert path.exists()


def test_a_file_of_other_units_is_refused(path: Path) -> None:
    write_activations(path, activations(("For", "If")))
    with refusing(ArtifactError, "not the name of a pair", path):
        PAIR_FILE.read(path)
