"""Concepts and their names (paper §3.2).

A concept is one of 43 AST node types (``ast__For``) or 63 builtin objects (``builtin__len``, the
placeholder ``builtin___isolated_`` among them). A pair is ``{ast}__{builtin}``, split at the first
``__``; no AST node type has one in its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from atlas_assets.errors import StimulusError

Kind = Literal["ast", "builtin"]
#: stands in for the builtin of AST nodes that take none (Import, Pass, …)
ISOLATED = "_isolated_"
SEPARATOR = "__"


def pair_name(ast_node: str, builtin: str) -> str:
    """``("Assert", "_isolated_")`` → ``"Assert___isolated_"``."""
    return f"{ast_node}{SEPARATOR}{builtin}"


def split_pair(name: str) -> tuple[str, str]:
    """``"Assert___isolated_"`` → ``("Assert", "_isolated_")``.

    Raises:
        StimulusError: ``name`` has no separator or an empty half.
    """
    ast_node, separator, builtin = name.partition(SEPARATOR)
    if not (ast_node and separator and builtin):
        raise StimulusError(
            "not the name of a pair",
            where=repr(name),
            expected="{ast}__{builtin}, for example For__list",
            remedy="rename the unit or take it out of the file",
        )
    return ast_node, builtin


def concept_name(kind: Kind, name: str) -> str:
    """``("ast", "For")`` → ``"ast__For"``."""
    return f"{kind}{SEPARATOR}{name}"


def split_concept(concept: str) -> tuple[Kind, str]:
    """``"builtin___isolated_"`` → ``("builtin", "_isolated_")``.

    Raises:
        StimulusError: the prefix is neither ``ast`` nor ``builtin``.
    """
    kind, _, name = concept.partition(SEPARATOR)
    if not name or kind not in ("ast", "builtin"):
        raise StimulusError(
            "not the name of a concept",
            where=repr(concept),
            expected="ast__{node} or builtin__{name}",
            remedy="rename the unit or take it out of the file",
        )
    return ("ast" if kind == "ast" else "builtin"), name


def inventory(pair_names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The AST nodes and the builtins that occur in ``pair_names``, each sorted."""
    pairs = [split_pair(name) for name in pair_names]
    return (
        tuple(sorted({ast_node for ast_node, _ in pairs})),
        tuple(sorted({builtin for _, builtin in pairs})),
    )
