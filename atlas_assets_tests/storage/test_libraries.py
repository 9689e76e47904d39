"""The libraries that a file was made with."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from atlas_assets.storage.libraries import library_versions


@pytest.mark.parametrize(
    ("kind", "runs_model", "named"),
    [
        ("hdf5", False, set()),
        ("hdf5", True, {"tokenizers", "torch", "transformers"}),
        ("png", False, {"matplotlib", "pillow", "scipy"}),
    ],
)
def test_a_record_names_what_the_file_is_made_with(
    kind: str, runs_model: bool, named: set[str]
) -> None:
    found = library_versions(kind, runs_model)  # type: ignore[arg-type]
    assert set(found) == {"atlas-assets", "h5py", "numpy", "polars"} | named
    assert all(version(library) == text for library, text in found.items())
