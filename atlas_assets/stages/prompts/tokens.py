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
    """A tokenizer for very many texts.

    Attributes:
        prefix: the ids that come before those of every prompt when a network is run.
    """

    prefix: tuple[int, ...]

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
        return self.last_token(text, keyword) is not None

    def last_token(self, text: str, keyword: str) -> int | None:
        """Return the place of the last token of ``keyword`` where it occurs last, if it does."""
        ids, run = self._encoded(text), self._encoded(keyword)
        for end in range(len(ids) - 1, -1, -1):
            start = end + 1 - len(run)
            if run and start >= 0 and ids[start : end + 1] == run:
                return end
            if self._decoded(ids[end]) == keyword:
                return end
        return None
