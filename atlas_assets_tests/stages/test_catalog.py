"""The catalogue is acyclic and in the order of the pipeline; file names lead back to it."""

from __future__ import annotations

import pytest

from atlas_assets.stages.catalog import ARTIFACTS, artifact_of_file
from atlas_assets.stages.setting import DEFINITIONS, REFERENCE, SWEEP, Definition, Setting


def test_everything_is_described_and_in_the_order_of_the_pipeline() -> None:
    seen: set[str] = set()
    for key, artifact in ARTIFACTS.items():
        assert set(artifact.inputs) <= seen, key
        seen.add(key)
        assert artifact.description.endswith("."), key
        assert (artifact.schema is None) == (artifact.kind not in ("csv", "parquet")), key
    groups = [artifact.group for artifact in ARTIFACTS.values()]
    assert groups == sorted(groups)


@pytest.mark.parametrize("setting", [REFERENCE, Setting(0.001, 0.2), Setting(1e-05, 1.0)])
def test_file_names_lead_back_to_their_artifact(setting: Setting) -> None:
    for artifact in ARTIFACTS.values():
        spaces = {None: None, SWEEP: setting, DEFINITIONS: Definition("published", setting)}
        at = spaces[artifact.partitions]
        assert artifact_of_file(artifact.file_name(at)) == (artifact, at)


@pytest.mark.parametrize(
    "name",
    [
        *("", "README.md", "x14_summary.csv", "14_summaryXcsv", "13_object_masks_.h5"),
        "13_object_masks_eps0.50_cons0.8.h5",
        "13_object_masks_eps-1.0_cons0.8.h5",
        "13_object_masks_epsx_cons0.8.h5",
        "13_object_masks_eps0.5_cons0.8.h5.tmp",
        "eps0.5_cons0.8",
    ],
)
def test_other_names_have_no_artifact(name: str) -> None:
    assert artifact_of_file(name) is None
