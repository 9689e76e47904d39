"""What a typed name means."""

from __future__ import annotations

import click
import pytest

from atlas_assets.cli.app import atlas
from atlas_assets.cli.naming import complete_concept, find_concept
from atlas_assets.errors import SettingsError

CONCEPTS = ("ast__Assert", "ast__Set", "ast__list", "builtin__list", "builtin__set")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        *zip(CONCEPTS, CONCEPTS, strict=True),
        ("Set", "ast__Set"),
        ("set", "builtin__set"),
        ("assert", "ast__Assert"),
        ("AST__LIST", "ast__list"),
    ],
)
def test_a_concept_by_part_of_its_name(typed: str, meant: str) -> None:
    assert find_concept(typed, CONCEPTS) == meant


def test_a_name_of_two_concepts_is_refused() -> None:
    with pytest.raises(SettingsError, match="ambiguous") as caught:
        find_concept("list", CONCEPTS)
    assert "ast__list and builtin__list" in str(caught.value)
    with pytest.raises(SettingsError, match="ast__Set and builtin__set"):
        find_concept("SET", CONCEPTS)


def test_an_unknown_name_gets_each_suggestion_once() -> None:
    with pytest.raises(SettingsError, match="no such concept") as caught:
        find_concept("asert", CONCEPTS)
    assert str(caught.value.found).count("ast__Assert") == 1


def test_completion_knows_the_published_concepts() -> None:
    def completed(typed: str) -> list[str]:
        found = complete_concept(click.Context(atlas), click.Argument(["concept"]), typed)
        return [item.value for item in found]

    assert completed("ast__Fu") == ["ast__FunctionDef"]
    assert completed("Fu") == ["FunctionDef"]
    assert len(completed("ast__")) == 43
    assert completed("xyzzy") == []
