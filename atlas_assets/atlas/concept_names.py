"""What people type for a concept of an atlas, and which concepts that may mean."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from atlas_assets.errors import SettingsError, expect
from atlas_assets.stages.concepts import SEPARATOR, kinds_of


def find_concept(typed: str, concepts: Sequence[str]) -> str:
    """Return the concept that a typed name means.

    A name means a concept if it is the concept's full name (``ast__For``) or, where only one
    concept has it, its bare name (``For``). If no concept is meant, capitals are ignored. Raises
    SettingsError, which names the candidates, where the name means no concept or several.
    """
    expect(
        isinstance(typed, str),
        SettingsError,
        "a concept is named by a text",
        where="concept",
        expected=f"one of the atlas's concepts, as {_example(concepts)} where that is clear",
        found=repr(typed),
        remedy="give its name",
    )
    if typed in concepts:
        return typed
    for spelled in (str, str.casefold):
        meant = [
            name for name in concepts if spelled(typed) in map(spelled, (name, bare_name(name)))
        ]
        if meant:
            break
    if len(meant) == 1:
        return meant[0]
    raise SettingsError(
        "the name is ambiguous" if meant else "the atlas has no such concept",
        where=repr(typed),
        expected=f"one of its concepts, as {_example(concepts)} where that is clear",
        found=f"it may mean {' and '.join(meant)}" if meant else _instead(typed, concepts),
        remedy="give the full name" if meant else "correct the name, or look into another atlas",
    )


def _example(concepts: Sequence[str]) -> str:
    own = concepts[0] if kinds_of(concepts) == ("own",) else None
    return f"{own}, or {bare_name(own)}" if own else "ast__For, builtin__len, or For"


def published_concepts() -> tuple[str, ...]:
    """Return the full names of the paper's concepts."""
    from atlas_assets.stages.prompts.stimuli import load_stimuli

    return tuple(load_stimuli().concepts)


def bare_name(concept: str) -> str:
    """Return a concept's name without its kind: ``"ast__For"`` → ``"For"``."""
    return concept.partition(SEPARATOR)[2]


def _instead(typed: str, concepts: Sequence[str]) -> str:
    """Say why the atlas lacks the concept typed, or which of its concepts have similar names."""
    published = [name for name in published_concepts() if typed in (name, bare_name(name))]
    if published:
        return f"{published[0]} is published, but not among this atlas's {len(concepts)} concepts"
    return f"the nearest: {_near(typed, concepts) or 'none'}"


def _near(typed: str, concepts: Iterable[str]) -> str:
    """Up to five concepts whose full or bare names are similar to what was typed."""
    by_spelling = {}
    for name in concepts:
        by_spelling[name.casefold()] = by_spelling[bare_name(name).casefold()] = name
    close = difflib.get_close_matches(typed.casefold(), sorted(by_spelling), n=5)
    return ", ".join(dict.fromkeys(by_spelling[spelling] for spelling in close))
