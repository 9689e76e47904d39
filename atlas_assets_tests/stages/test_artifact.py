"""File names and versions as an artifact spells them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.setting import REFERENCE, PartitionSpace, Setting


def test_a_setting_is_given_exactly_where_there_is_one_file_per_setting() -> None:
    with pytest.raises(ValueError, match="takes a partition"):
        ARTIFACTS["object_masks"].file_name()
    with pytest.raises(ValueError, match="takes no partition"):
        ARTIFACTS["summary"].file_name(REFERENCE)


def test_a_second_partition_space_needs_nothing_of_the_first() -> None:
    space = PartitionSpace(
        "strictness",
        of_key=lambda key: Setting(0.5, float(key)),
        of_file_tag=lambda tag: Setting.of_file_tag(tag.replace("strict", "eps0.5_cons")),
    )
    artifact = dataclasses.replace(ARTIFACTS["object_masks"], partitions=space)
    assert artifact.partition_named("0.8") == REFERENCE
    assert artifact.partition_of(artifact.file_name(REFERENCE)) == (True, REFERENCE)
    assert artifact.partition_of("13_object_masks_eps0.50_cons0.8.h5") == (False, None)
    with pytest.raises(ValueError, match="has no partitions"):
        ARTIFACTS["summary"].partition_named("0.8|0.5")


@pytest.mark.parametrize(
    ("key", "parameters", "suffix"),
    [
        ("token_checker_masks", {}, ""),
        ("token_checker_masks", {"token_checker_setting": (0.5, 0.8)}, ""),
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
