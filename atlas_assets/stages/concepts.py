"""Concepts and their names (paper §3.2).

A concept of the paper is one of 43 AST node types (``ast__For``) or 63 builtin objects
(``builtin__len``, the placeholder ``builtin___isolated_`` among them). A pair is
``{ast}__{builtin}``, split at the first ``__``; no AST node type has one in its name.

A concept of a user's own prompts is ``own__{concept}``, and a pair of it with one of its units is
``own__{concept}__{unit}``; no such concept has ``__`` in its name. The names alone tell the two
apart, and no atlas holds both.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from typing import Literal, get_args

from atlas_assets.errors import SettingsError, StimulusError

Kind = Literal["ast", "builtin", "own"]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: stands in for the builtin of AST nodes that take none (Import, Pass, …)
ISOLATED = "_isolated_"
SEPARATOR = "__"
_OWN = "own__"


def pair_name(ast_node: str, builtin: str) -> str:
    """Return the name of a pair: ``("Assert", "_isolated_")`` → ``"Assert___isolated_"``."""
    return f"{ast_node}{SEPARATOR}{builtin}"


def own_pair_name(concept: str, unit: str) -> str:
    """Return the name of a unit of an own concept: ``("JOIN", "left")`` → ``"own__JOIN__left"``."""
    return pair_name(concept_name("own", concept), unit)


def split_pair(name: str) -> tuple[str, str]:
    """Split the name of a pair: ``"Assert___isolated_"`` → ``("Assert", "_isolated_")``.

    That of an own concept's unit gives both: ``"own__JOIN__left"`` → ``("JOIN", "left")``. A name
    with no separator or an empty half is a StimulusError.
    """
    ast_node, separator, builtin = name.removeprefix(_OWN).partition(SEPARATOR)
    if not (ast_node and separator and builtin):
        raise _not_the_name_of("pair", name, "{ast}__{builtin}, for example For__list")
    return ast_node, builtin


def concept_name(kind: Kind, name: str) -> str:
    """Return the name of a concept: ``("ast", "For")`` → ``"ast__For"``."""
    return f"{kind}{SEPARATOR}{name}"


def split_concept(concept: str) -> tuple[Kind, str]:
    """Split the name of a concept: ``"builtin___isolated_"`` → ``("builtin", "_isolated_")``.

    A prefix that is none of `KINDS` is a StimulusError.
    """
    prefix, _, name = concept.partition(SEPARATOR)
    for kind in KINDS:
        if kind == prefix and name:
            return kind, name
    raise _not_the_name_of("concept", concept, "ast__{node}, builtin__{name} or own__{concept}")


def _not_the_name_of(what: str, name: str, expected: str) -> StimulusError:
    remedy = "rename the unit, or take it out"
    what = f"not the name of a {what}"
    return StimulusError(what, where=repr(name), expected=expected, remedy=remedy)


def of_kind(concepts: Iterable[str], kind: Kind) -> tuple[str, ...]:
    """Return the names, without prefix, of the concepts of one kind, in their order."""
    return tuple(name for found, name in map(split_concept, concepts) if found == kind)


def kinds_of(concepts: Iterable[str]) -> tuple[Kind, ...]:
    """Return the kinds of an atlas's concepts: the paper's two, or ``own`` alone.

    Own concepts beside the paper's are a StimulusError.
    """
    found = {split_concept(concept)[0] for concept in concepts}
    if "own" not in found:
        return ("ast", "builtin")
    if len(found) > 1:
        raise StimulusError(
            "own concepts are mixed with the paper's",
            expected="concepts of one inventory",
            found=" and ".join(sorted(found)),
            remedy="materialise the prompts and what follows from them again",
        )
    return ("own",)


def concepts_of_pair(name: str) -> tuple[str, ...]:
    """Return the concepts whose pair it is: ``"For__list"`` → ``("ast__For", "builtin__list")``."""
    first, second = split_pair(name)
    if name.startswith(_OWN):
        return (concept_name("own", first),)
    return concept_name("ast", first), concept_name("builtin", second)


def pairs_of_concepts(pair_names: Iterable[str]) -> dict[str, list[int]]:
    """Return the positions of each concept's pairs, by concept, sorted."""
    members: dict[str, list[int]] = {}
    for position, name in enumerate(pair_names):
        for concept in concepts_of_pair(name):
            members.setdefault(concept, []).append(position)
    return dict(sorted(members.items()))


def require_known(names: Collection[str], known: Collection[str], *, what: str, where: str) -> None:
    """Refuse names that a user picked in the setting ``where`` and that are not ``known``.

    The SettingsError says what a name may have meant; ``what`` says what one is (``"AST node"``).
    """
    for name in names:
        if name in known:
            continue
        close = near_matches(name, known)
        meant = f"did you mean {' or '.join(close)}? " if close else ""
        raise SettingsError(
            f"unknown {what} {name!r}",
            where=where,
            expected=f"names of the published grid ({len(known)} of them)",
            found=repr(name),
            remedy=f"{meant}use names among: {', '.join(sorted(known))}",
        )


def near_matches(name: str, known: Iterable[str]) -> list[str]:
    """Return up to three of ``known`` that resemble ``name``, best first, ignoring case."""
    spelled: dict[str, list[str]] = {}
    for candidate in sorted(known):
        spelled.setdefault(candidate.casefold(), []).append(candidate)
    close = difflib.get_close_matches(name.casefold(), list(spelled), n=3, cutoff=0.5)
    return [candidate for folded in close for candidate in spelled[folded]][:3]
