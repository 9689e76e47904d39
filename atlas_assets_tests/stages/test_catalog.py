"""The catalogue is complete, acyclic and gives the published names."""

from __future__ import annotations

from typing import Any

import pytest

from atlas_assets.stages.catalog import ARTIFACTS, artifact_of_file
from atlas_assets.stages.setting import REFERENCE, Setting

PUBLISHED = {
    "object_prompts": "11A_object_prompts.parquet",
    "checker_prompts": "11B_checker_prompts.parquet",
    "token_checker_prompts": "token_checker_prompts.parquet",
    "object_activations": "12_object_activations.h5",
    "checker_activations": "12_checker_activations.h5",
    "object_masks": "13_object_masks_eps0.5_cons0.8.h5",
    "checker_masks": "13_checker_masks_eps0.5_cons0.8.h5",
    "token_checker_masks": "token_checker_masks.h5",
    "masks": "13_universal_masks_sweep.parquet",
    "target_checker": "14_target_checker_eps0.5_cons0.8.csv",
    "summary": "14_summary.csv",
    "modularity_scores": "relaxed_modularity_scores.csv",
    "modularity_detail": "relaxed_modularity_detail.csv",
    "token_independence_summary": "token_independence_summary.csv",
    "token_independence_detail": "token_independence_detail.csv",
    "token_independence_no_keyword": "token_independence_no_keyword.csv",
    "universal_masks": "universal_106x50.h5",
    "compositionality": "compositionality.csv",
    "ockham_index": "ockham_index.csv",
    "layer_profile": "layer_profile.csv",
    "marginalisation_robustness": "marginalisation_robustness.csv",
    "jaccard_matrices": "jaccard_matrices.h5",
    "modularity_null": "modularity_null.csv",
    "figure_atomicity_dendrogram": "figure_atomicity_dendrogram.png",
    "figure_jaccard_heatmap": "figure_jaccard_heatmap.png",
    "figure_concept_fraction": "figure_concept_fraction.png",
    "figure_sweep": "figure_sweep.png",
    "figure_layer_profile": "figure_layer_profile.png",
    "figure_modularity": "figure_modularity.png",
    "figure_entanglement": "figure_entanglement.png",
    "claims_report": "claims.md",
    "atlas_report": "atlas_report.html",
}
REFERENCE_VALUES = (REFERENCE.epsilon, REFERENCE.consistency)
PARTITIONED = {"object_masks", "checker_masks", "target_checker"}


@pytest.mark.parametrize("key", sorted(PUBLISHED))
def test_names_are_the_published_ones(key: str) -> None:
    artifact = ARTIFACTS[key]
    assert artifact.key == key
    assert artifact.partitioned == (key in PARTITIONED)
    assert artifact.file_name(REFERENCE if artifact.partitioned else None) == PUBLISHED[key]


def test_nothing_published_is_left_out() -> None:
    assert set(ARTIFACTS) >= set(PUBLISHED)


def test_inputs_come_before_what_is_made_from_them() -> None:
    seen: set[str] = set()
    for key, artifact in ARTIFACTS.items():
        assert set(artifact.inputs) <= seen, key
        seen.add(key)


def test_groups_follow_the_pipeline() -> None:
    groups = [artifact.group for artifact in ARTIFACTS.values()]
    assert groups == sorted(groups)


@pytest.mark.parametrize("key", sorted(ARTIFACTS))
def test_everything_is_described(key: str) -> None:
    artifact = ARTIFACTS[key]
    assert artifact.description.endswith(".")
    assert (artifact.schema is None) == (artifact.kind not in ("csv", "parquet"))


def test_a_setting_is_given_exactly_where_there_is_one_file_per_setting() -> None:
    with pytest.raises(ValueError, match="takes a setting"):
        ARTIFACTS["object_masks"].file_name()
    with pytest.raises(ValueError, match="takes no setting"):
        ARTIFACTS["summary"].file_name(REFERENCE)


@pytest.mark.parametrize("setting", [REFERENCE, Setting(0.001, 0.2), Setting(1e-05, 1.0)])
@pytest.mark.parametrize("key", sorted(ARTIFACTS))
def test_file_names_lead_back_to_their_artifact(key: str, setting: Setting) -> None:
    artifact = ARTIFACTS[key]
    at = setting if artifact.partitioned else None
    assert artifact_of_file(artifact.file_name(at)) == (artifact, at)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "README.md",
        "13_object_masks_eps0.50_cons0.8.h5",
        "13_object_masks_eps-1.0_cons0.8.h5",
        "13_object_masks_epsx_cons0.8.h5",
        "13_object_masks_eps0.5_cons0.8.h5.tmp",
        "x14_summary.csv",
        "14_summaryXcsv",
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
