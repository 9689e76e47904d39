"""What the stages need of a tokenizer, and whether a prompt's ids hold a keyword."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Protocol


class Tokenizer(Protocol):
    """Text to token ids and back."""

    def encode(self, text: str, /) -> list[int]:
        """Return the ids of ``text``, no special tokens added."""

    def decode(self, ids: list[int], /) -> str:
        """Return the text that ``ids`` spell."""


class CorpusTokenizer(Tokenizer, Protocol):
    """A tokenizer for very many texts."""

    def encode_all(self, texts: Sequence[str], /) -> list[list[int]]:
        """Return the ids of every text: what ``encode`` gives, only faster."""


class KeywordSearch:
    """Finds keywords in prompts as a tokenizer sees them (paper §6, checker prompts).

    A keyword is there when its own ids are a contiguous run of the prompt's, or when one id of
    the prompt decodes, stripped of white space, to the keyword. ``important`` as one id does not
    hold ``import``. Each text and id is given to the tokenizer once.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._encoded = cache(tokenizer.encode)
        self._decoded = cache(lambda token: tokenizer.decode([token]).strip())

    def holds(self, text: str, keyword: str) -> bool:
        """Return whether the ids of ``text`` hold ``keyword``."""
        ids = self._encoded(text)
        return contains_run(ids, self._encoded(keyword)) or any(
            self._decoded(token) == keyword for token in ids
        )


def contains_run(ids: Sequence[int], run: Sequence[int]) -> bool:
    """Return whether ``run`` occurs in ``ids`` as a contiguous run; an empty run never does."""
    starts = range(len(ids) - len(run) + 1) if run else ()
    return any(ids[start : start + len(run)] == run for start in starts)
