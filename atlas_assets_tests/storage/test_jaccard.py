"""Jaccard matrices as HDF5: what any reader finds, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.analyses.ockham import JaccardMatrices, jaccard_matrices
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.setting import STANDALONE, Setting
from atlas_assets.storage.jaccard import JaccardMatricesFile
from atlas_assets_tests.storage.defects import edit_in_place, replaced
from atlas_assets_tests.storage.samples import equal, provenance, universal

FORMAT = JaccardMatricesFile(STANDALONE)


def encoded(value: JaccardMatrices) -> bytes:
    return FORMAT.encode(value, provenance(payload_sha256=FORMAT.payload_digest(value)))


def test_a_type_without_concepts_keeps_its_place() -> None:
    value = jaccard_matrices(Masks(("ast__For",), np.ones((1, 3, 4), dtype=np.bool_)))
    assert equal(FORMAT.decode(encoded(value)), value)


def test_another_setting_is_refused() -> None:
    value = jaccard_matrices(universal())
    with pytest.raises(ArtifactError, match=r"ε=0\.5"):
        JaccardMatricesFile(Setting(0.5, 0.8)).decode(encoded(value))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda of: of.values["ast"].__setitem__((0, 0, 1), 0.123),  # no longer symmetric
        lambda of: of.values["ast"].__setitem__((0, 0, 0), 1.5),
        lambda of: of.values["builtin"].__setitem__((0, 0, 0), np.nan),
        lambda of: of.values.update(builtin=of.values["builtin"][1:]),
        lambda of: of.values.update(builtin=of.values["builtin"][:, 1:, 1:]),
        lambda of: of.names.update(ast=of.names["ast"][::-1]),
        lambda of: of.names.update(ast=of.names["builtin"]),
    ],
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
    edit_in_place(path, replaced(missing))
    with pytest.raises(ArtifactError, match=missing):
        FORMAT.decode(path)
