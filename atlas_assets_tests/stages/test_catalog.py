"""The catalogue is acyclic; file names and versions follow from its artifacts."""

from __future__ import annotations

from typing import Any

import pytest

from atlas_assets.stages.catalog import ARTIFACTS, artifact_of_file
from atlas_assets.stages.setting import REFERENCE, Setting

REFERENCE_VALUES = (REFERENCE.epsilon, REFERENCE.consistency)


def test_inputs_come_before_what_is_made_from_them() -> None:
    seen: set[str] = set()
    for key, artifact in ARTIFACTS.items():
        assert set(artifact.inputs) <= seen, key
        seen.add(key)


def test_groups_follow_the_pipeline() -> None:
    groups = [artifact.group for artifact in ARTIFACTS.values()]
    assert groups == sorted(groups)


def test_everything_is_described() -> None:
    for artifact in ARTIFACTS.values():
        assert artifact.description.endswith("."), artifact.key
        assert (artifact.schema is None) == (artifact.kind not in ("csv", "parquet")), artifact.key


def test_a_setting_is_given_exactly_where_there_is_one_file_per_setting() -> None:
    with pytest.raises(ValueError, match="takes a setting"):
        ARTIFACTS["object_masks"].file_name()
    with pytest.raises(ValueError, match="takes no setting"):
        ARTIFACTS["summary"].file_name(REFERENCE)


@pytest.mark.parametrize("setting", [REFERENCE, Setting(0.001, 0.2), Setting(1e-05, 1.0)])
def test_file_names_lead_back_to_their_artifact(setting: Setting) -> None:
    for artifact in ARTIFACTS.values():
        at = setting if artifact.partitioned else None
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


@pytest.mark.parametrize(
    ("key", "parameters", "suffix"),
    [
        ("token_checker_masks", {}, ""),
        ("token_checker_masks", {"token_checker_setting": REFERENCE_VALUES}, ""),
        (
            "token_checker_masks",
            {"token_checker_setting": (0.2, 0.5), "variations": 3},
            "+token_checker_setting=0.2,0.5",
        ),
        ("object_prompts", {"variations": 50, "ast_nodes": None}, ""),
        (
            "object_prompts",
            {"variations": 4, "ast_nodes": ("For", "If"), "loss_threshold": 2.5},
            "+ast_nodes=For,If+loss_threshold=2.5+variations=4",
        ),
        ("summary", {"epsilons": (0.1,)}, "+epsilons=0.1"),
        ("modularity_null", {}, "+permutations=200"),
        ("modularity_null", {"permutations": 9}, "+permutations=9"),
    ],
)
def test_versions_name_the_settings_that_depart_from_the_default(
    key: str, parameters: dict[str, Any], suffix: str
) -> None:
    artifact = ARTIFACTS[key]
    assert artifact.version(parameters) == artifact.code_version + suffix


def test_a_long_list_is_named_by_its_digest() -> None:
    version = ARTIFACTS["checker_prompts"].version
    names = tuple(f"Node{number}" for number in range(30))
    one, other = version({"ast_nodes": names}), version({"ast_nodes": (*names[:-1], "Other")})
    assert one != other
    assert "ast_nodes=30:" in one
    assert len(one) < 40
