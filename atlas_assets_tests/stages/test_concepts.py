"""Names of concepts and pairs, and names that a user has misspelt."""

from __future__ import annotations

import pytest

from atlas_assets.errors import SettingsError, StimulusError
from atlas_assets.stages import concepts

KNOWN = ("For", "AsyncFor", "While", "With", "Set", "set", "len")
PAIRS = ("Assert___isolated_", "For__len", "For__list", "If__list")


def test_pairs_by_name_and_by_concept() -> None:
    assert [concepts.pair_name(*concepts.split_pair(pair)) for pair in PAIRS] == list(PAIRS)
    assert concepts.split_pair("Assert___isolated_") == ("Assert", "_isolated_")
    assert concepts.split_concept("builtin___isolated_") == ("builtin", "_isolated_")
    assert list(concepts.pairs_of_concepts(PAIRS).items()) == [
        ("ast__Assert", [0]),
        ("ast__For", [1, 2]),
        ("ast__If", [3]),
        ("builtin___isolated_", [0]),
        ("builtin__len", [1]),
        ("builtin__list", [2, 3]),
    ]


@pytest.mark.parametrize("name", ["", "For", "For__", "__len", "For_len"])
def test_what_is_no_name_of_a_pair_or_concept_is_refused(name: str) -> None:
    with pytest.raises(StimulusError, match="not the name of a pair"):
        concepts.split_pair(name)
    with pytest.raises(StimulusError, match="not the name of a concept"):
        concepts.split_concept(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("FOR", "did you mean For or "),
        ("whlie", "did you mean While"),
        ("SETS", "did you mean Set or set?"),
        ("qqqqqq", "what to do: use names among: AsyncFor, For, Set, While, With, len, set"),
    ],
)
def test_unknown_names_are_refused_with_near_matches_or_the_inventory(name: str, hint: str) -> None:
    with pytest.raises(SettingsError) as raised:
        concepts.require_known([*KNOWN, name], KNOWN, what="name", where="here")
    assert f"unknown name {name!r}" in str(raised.value)
    assert hint in str(raised.value)


def test_own_concepts_and_their_units_are_told_by_their_names() -> None:
    units = (concepts.own_pair_name("JOIN", "_left"), concepts.own_pair_name("C++ 20", "a__b"))
    assert units == ("own__JOIN___left", "own__C++ 20__a__b")
    assert [concepts.split_pair(unit) for unit in units] == [("JOIN", "_left"), ("C++ 20", "a__b")]
    assert concepts.pairs_of_concepts(units) == {"own__C++ 20": [1], "own__JOIN": [0]}
    assert concepts.split_concept("own__JOIN") == ("own", "JOIN")
    assert concepts.kinds_of(["own__JOIN"]) == ("own",)
    assert concepts.kinds_of([]) == concepts.kinds_of(["ast__For"]) == ("ast", "builtin")
    with pytest.raises(StimulusError, match="own concepts are mixed with the paper's"):
        concepts.kinds_of(["ast__For", "own__JOIN"])
