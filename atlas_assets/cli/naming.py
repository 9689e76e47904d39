"""From what someone types to the name of a concept."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from atlas_assets.errors import SettingsError
from atlas_assets.stages.concepts import SEPARATOR

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def find_concept(typed: str, concepts: Sequence[str]) -> str:
    """The one concept that is meant.

    ``ast__For`` and, where only one concept is called so, ``For``; else whatever differs from it
    in capitals only, under the same condition.

    Raises:
        SettingsError: none is, or several are; the candidates are named.
    """
    if typed in concepts:
        return typed
    for spelled in (str, str.casefold):
        meant = [name for name in concepts if spelled(typed) in map(spelled, (name, _bare(name)))]
        if meant:
            break
    if len(meant) == 1:
        return meant[0]
    raise SettingsError(
        "the name is ambiguous" if meant else "the atlas has no such concept",
        where=repr(typed),
        expected="one of its concepts, as ast__For, builtin__len, or For where that is clear",
        found=f"it may mean {' and '.join(meant)}" if meant else _instead(typed, concepts),
        remedy="give the full name" if meant else "correct the name, or look into another atlas",
    )


def complete_concept(
    ctx: click.Context,  # noqa: ARG001
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[CompletionItem]:
    """The concepts of the published inventory that begin so, with or without prefix."""
    from click.shell_completion import CompletionItem

    return [
        CompletionItem(word)
        for concept in _published()
        for word in (concept, _bare(concept))
        if word.startswith(incomplete)
    ]


def _instead(typed: str, concepts: Sequence[str]) -> str:
    """What there is in place of a concept that the atlas lacks."""
    published = [name for name in _published() if typed in (name, _bare(name))]
    if published:
        return f"{published[0]} is published, but not among this atlas's {len(concepts)} concepts"
    return f"the nearest: {_near(typed, concepts) or 'none'}"


def _published() -> tuple[str, ...]:
    from atlas_assets.stages.prompts.stimuli import load_stimuli

    return tuple(load_stimuli().concepts)


def _near(typed: str, concepts: Iterable[str]) -> str:
    """Names that look alike, by their bare part too."""
    by_spelling = {}
    for name in concepts:
        by_spelling[name.casefold()] = by_spelling[_bare(name).casefold()] = name
    close = difflib.get_close_matches(typed.casefold(), sorted(by_spelling), n=5)
    return ", ".join(dict.fromkeys(by_spelling[spelling] for spelling in close))


def _bare(concept: str) -> str:
    return concept.partition(SEPARATOR)[2]
