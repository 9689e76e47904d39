"""A few prompts of each concept for readers, with the places that are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import polars as pl

from atlas_assets.stages.concepts import concepts_of_pair
from atlas_assets.stages.prompts.object_prompts import names_of_pairs
from atlas_assets.stages.prompts.positions import Landmarks
from atlas_assets.stages.prompts.stimuli import load_stimuli

#: prompts that are shown of a concept, and of its checker prompts
OF_CONCEPT, OF_CHECKER = 4, 2
#: characters that are shown of a prompt, from its end, where it is read; and of all together
LONGEST, MOST_CHARACTERS = 1200, 1_000_000


def shown_prompts(objects: pl.DataFrame, checkers: pl.DataFrame | None) -> dict[str, Any]:
    """Return texts, each once, and for each concept which of them are shown.

    The prompts of a concept are of pairs spread over all of its pairs. ``of`` has the rows
    ``[text, pair, end]`` by concept, ``end`` being the characters of the shown text up to the end
    of the pair's AST node (of own prompts, up to the ``end`` of the file) where that is known;
    ``checkers`` has numbers of texts by concept.
    """
    pool = _Pool()
    end_of = _ends(objects)
    by_concept: dict[str, list[tuple[str, list[int]]]] = {}
    rows_of: dict[str, list[int]] = {}
    for number, pair in enumerate(names_of_pairs(objects)):
        rows_of.setdefault(pair, []).append(number)
    for pair, rows in rows_of.items():
        for concept in concepts_of_pair(pair):
            by_concept.setdefault(concept, []).append((pair, rows))
    texts = objects["prompt_text"]
    shown: dict[str, list[list[Any]]] = {}
    for concept, pairs in sorted(by_concept.items()):
        for number, (pair, rows) in enumerate(_spread(pairs, OF_CONCEPT)):
            row = rows[number % len(rows)]
            kept = pool.keep(texts[row])
            if kept is not None:
                text, left_out = kept
                end = end_of(row)
                at = None if end is None or end <= left_out else end - left_out
                shown.setdefault(concept, []).append([text, pair, at])
    found: dict[str, Any] = {"texts": pool.texts, "of": shown}
    if checkers is not None:
        found["checkers"] = dict(_of_checkers(checkers, pool))
    return found


def _of_checkers(checkers: pl.DataFrame, pool: _Pool) -> Iterator[tuple[str, list[int]]]:
    column = "object" if "object" in checkers.columns else "concept"
    for (concept,), rows in checkers.group_by(column, maintain_order=True):
        kept = [pool.keep(text) for text in _spread(rows["prompt_text"].to_list(), OF_CHECKER)]
        yield str(concept), [text for text, _ in filter(None, kept)]


def _ends(objects: pl.DataFrame) -> Callable[[int], int | None]:
    """Return what gives the end of the concept in a row's prompt."""
    if "end" in objects.columns:
        return lambda row: objects["end"][row]
    landmarks = Landmarks.of(load_stimuli())
    return lambda row: landmarks.concept_end(objects["prompt_text"][row], objects["ast_node"][row])


def _spread(values: list[Any], most: int) -> list[Any]:
    """Return up to ``most`` of the values, as far apart as there is room."""
    n = min(most, len(values))
    return [values[i * len(values) // n] for i in range(n)]


class _Pool:
    """Texts, each once, cut to what is shown, until there are too many characters."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}
        self._characters = 0

    def keep(self, text: str) -> tuple[int, int] | None:
        """Return the number of a text and how many characters are left out before it."""
        left_out = max(0, len(text) - LONGEST)
        shown = text[left_out:]
        if shown not in self._numbers:
            if self._characters + len(shown) > MOST_CHARACTERS:
                return None
            self._characters += len(shown)
            self._numbers[shown] = len(self.texts)
            self.texts.append(shown)
        return self._numbers[shown], left_out
