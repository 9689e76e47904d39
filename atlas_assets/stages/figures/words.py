"""Sentences of the alternative texts of figures, for those who cannot see them."""

from __future__ import annotations

from collections.abc import Iterable

#: what the circuits of one type are called at the start of a sentence
TYPE_NAMES = {"pair": "Pairs", "ast": "AST nodes", "builtin": "Builtins"}


def listed(parts: Iterable[str]) -> str:
    """``a, b, c``."""
    return ", ".join(parts)


def sentences(opening: str, *lines: str) -> str:
    """The opening, which ends in a stop, and each line as a sentence of its own."""
    return " ".join([opening, *(f"{line}." for line in lines)])
