"""Refusing unknown names with near matches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas_assets.errors import SettingsError
from atlas_assets.stages.prompts.selection import near_matches, require_known

KNOWN = ("For", "AsyncFor", "While", "With", "len", "list")


def test_near_matches_ignore_case_and_come_best_first() -> None:
    assert near_matches("FOR", KNOWN)[0] == "For"
    assert near_matches("whlie", KNOWN)[0] == "While"
    assert near_matches("qqqqqq", KNOWN) == []


def test_names_that_differ_in_case_alone_are_both_offered() -> None:
    assert near_matches("SETS", ["Set", "set", "dict"]) == ["Set", "set"]


@given(names=st.lists(st.sampled_from(KNOWN)))
def test_known_names_pass(names: list[str]) -> None:
    require_known(names, KNOWN, what="name", where="here")
    with pytest.raises(SettingsError, match="unknown name 'nowhere'"):
        require_known([*names, "nowhere"], KNOWN, what="name", where="here")


def test_without_a_near_match_the_inventory_is_listed() -> None:
    with pytest.raises(SettingsError) as raised:
        require_known(["qqqqqq"], KNOWN, what="name", where="here")
    assert "did you mean" not in str(raised.value)
    assert "AsyncFor, For, While, With, len, list" in str(raised.value)
