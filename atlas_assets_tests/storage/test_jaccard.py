"""Jaccard matrices as HDF5: what any reader finds, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.analyses.ockham import JaccardMatrices, jaccard_matrices
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.setting import STANDALONE, Setting
from atlas_assets.storage.jaccard import JaccardMatricesFile
from atlas_assets_tests.storage.samples import LAYERS, equal, provenance, universal

FORMAT = JaccardMatricesFile(STANDALONE)


def encoded(value: JaccardMatrices) -> bytes:
    return FORMAT.encode(value, provenance(payload_sha256=FORMAT.payload_digest(value)))


def test_matrices_are_written_and_read_again() -> None:
    value = jaccard_matrices(universal())
    found, record = FORMAT.read(encoded(value))
    assert equal(found, value)
    assert record is not None
    assert encoded(value) == encoded(value)
    assert FORMAT.describe(value)["layers"] == LAYERS


def test_plain_h5py_reads_them(tmp_path: Path) -> None:
    value = jaccard_matrices(universal())
    (tmp_path / "j.h5").write_bytes(encoded(value))
    with h5py.File(tmp_path / "j.h5") as file:
        names = [name.decode() for name in file["metadata/ast_nodes"][()]]
        assert [f"ast__{name}" for name in names] == list(value.names["ast"])
        np.testing.assert_array_equal(file["jaccard/layer_2/ast"][()], value.values["ast"][2])
        assert file["metadata"].attrs["epsilon"] == 0.001
        assert sorted(file["jaccard"]) == [f"layer_{layer}" for layer in range(LAYERS)]


def test_a_type_without_concepts_keeps_its_place() -> None:
    value = jaccard_matrices(Masks(("ast__For",), np.ones((1, 3, 4), dtype=np.bool_)))
    assert equal(FORMAT.decode(encoded(value)), value)


def test_another_setting_is_refused() -> None:
    value = jaccard_matrices(universal())
    with pytest.raises(ArtifactError, match=r"ε=0\.5"):
        JaccardMatricesFile(Setting(0.5, 0.8)).decode(encoded(value))


def asymmetric(value: JaccardMatrices) -> None:
    value.values["ast"][0, 0, 1] += 0.1


def too_large(value: JaccardMatrices) -> None:
    value.values["ast"][0, 0, 0] = 1.5


def not_a_number(value: JaccardMatrices) -> None:
    value.values["builtin"][0, 0, 0] = np.nan


def fewer_layers(value: JaccardMatrices) -> None:
    value.values["builtin"] = value.values["builtin"][1:]


def fewer_rows(value: JaccardMatrices) -> None:
    value.values["builtin"] = value.values["builtin"][:, 1:, 1:]


def unsorted(value: JaccardMatrices) -> None:
    value.names["ast"] = value.names["ast"][::-1]


def of_another_type(value: JaccardMatrices) -> None:
    value.names["ast"] = value.names["builtin"]


@pytest.mark.parametrize(
    "spoil",
    [asymmetric, too_large, not_a_number, fewer_layers, fewer_rows, unsorted, of_another_type],
)
def test_unsound_matrices_are_refused(spoil: Callable[[JaccardMatrices], None]) -> None:
    value = jaccard_matrices(universal())
    spoil(value)
    with pytest.raises(ArtifactError, match="not sound"):
        FORMAT.check(value, where="jaccard_matrices")


@pytest.mark.parametrize(
    "missing", ["jaccard/layer_1", "jaccard/layer_1/ast", "metadata/ast_nodes"]
)
def test_what_is_missing_in_a_file_is_named(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "j.h5"
    path.write_bytes(encoded(jaccard_matrices(universal())))
    with h5py.File(path, "r+") as file:
        del file[missing]
    with pytest.raises(ArtifactError, match=missing):
        FORMAT.decode(path)
