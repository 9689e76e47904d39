"""Concepts and their names (paper §3.2).

A concept is one of 43 AST node types (``ast__For``) or 63 builtin objects (``builtin__len``, the
placeholder ``builtin___isolated_`` among them). A pair is ``{ast}__{builtin}``, split at the first
``__``; no AST node type has one in its name.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from typing import Literal

from atlas_assets.errors import SettingsError, StimulusError

Kind = Literal["ast", "builtin"]
#: stands in for the builtin of AST nodes that take none (Import, Pass, …)
ISOLATED = "_isolated_"
SEPARATOR = "__"


def pair_name(ast_node: str, builtin: str) -> str:
    """Return the name of a pair: ``("Assert", "_isolated_")`` → ``"Assert___isolated_"``."""
    return f"{ast_node}{SEPARATOR}{builtin}"


def split_pair(name: str) -> tuple[str, str]:
    """Split the name of a pair: ``"Assert___isolated_"`` → ``("Assert", "_isolated_")``.

    A name with no separator or an empty half is a StimulusError.
    """
    ast_node, separator, builtin = name.partition(SEPARATOR)
    if not (ast_node and separator and builtin):
        raise _not_the_name_of("pair", name, "{ast}__{builtin}, for example For__list")
    return ast_node, builtin


def concept_name(kind: Kind, name: str) -> str:
    """Return the name of a concept: ``("ast", "For")`` → ``"ast__For"``."""
    return f"{kind}{SEPARATOR}{name}"


def split_concept(concept: str) -> tuple[Kind, str]:
    """Split the name of a concept: ``"builtin___isolated_"`` → ``("builtin", "_isolated_")``.

    A prefix that is neither ``ast`` nor ``builtin`` is a StimulusError.
    """
    kind, _, name = concept.partition(SEPARATOR)
    if not name or kind not in ("ast", "builtin"):
        raise _not_the_name_of("concept", concept, "ast__{node} or builtin__{name}")
    return ("ast" if kind == "ast" else "builtin"), name


def _not_the_name_of(what: str, name: str, expected: str) -> StimulusError:
    remedy = "rename the unit or take it out of the file"
    what = f"not the name of a {what}"
    return StimulusError(what, where=repr(name), expected=expected, remedy=remedy)


def of_kind(concepts: Iterable[str], kind: Kind) -> tuple[str, ...]:
    """Return the names, without prefix, of the concepts of one kind, in their order."""
    return tuple(name for found, name in map(split_concept, concepts) if found == kind)


def inventory(pair_names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the AST nodes and the builtins that occur in names of pairs, each sorted."""
    pairs = [split_pair(name) for name in pair_names]
    return (
        tuple(sorted({ast_node for ast_node, _ in pairs})),
        tuple(sorted({builtin for _, builtin in pairs})),
    )


def pairs_of_concepts(pair_names: Iterable[str]) -> dict[str, list[int]]:
    """Return the positions of each concept's pairs, by concept, sorted."""
    members: dict[str, list[int]] = {}
    for position, name in enumerate(pair_names):
        ast_node, builtin = split_pair(name)
        members.setdefault(concept_name("ast", ast_node), []).append(position)
        members.setdefault(concept_name("builtin", builtin), []).append(position)
    return dict(sorted(members.items()))


def require_known(names: Collection[str], known: Collection[str], *, what: str, where: str) -> None:
    """Refuse names that a user picked in the setting ``where`` and that are not ``known``.

    The SettingsError says what a name may have meant; ``what`` says what one is (``"AST node"``).
    """
    for name in names:
        if name in known:
            continue
        close = _near_matches(name, known)
        meant = f"did you mean {' or '.join(close)}? " if close else ""
        raise SettingsError(
            f"unknown {what} {name!r}",
            where=where,
            expected=f"names of the published grid ({len(known)} of them)",
            found=repr(name),
            remedy=f"{meant}use names among: {', '.join(sorted(known))}",
        )


def _near_matches(name: str, known: Iterable[str]) -> list[str]:
    """Return up to three of ``known`` that resemble ``name``, best first, ignoring case."""
    spelled: dict[str, list[str]] = {}
    for candidate in sorted(known):
        spelled.setdefault(candidate.casefold(), []).append(candidate)
    close = difflib.get_close_matches(name.casefold(), list(spelled), n=3, cutoff=0.5)
    return [candidate for folded in close for candidate in spelled[folded]][:3]
