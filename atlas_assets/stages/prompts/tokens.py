"""What the science needs of a tokenizer, and whether a prompt's ids hold a keyword."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Tokenizer(Protocol):
    """Text to token ids and back."""

    def encode(self, text: str, /) -> list[int]:
        """Ids of ``text``, no special tokens added."""
        ...

    def decode(self, ids: list[int], /) -> str:
        """The text that ``ids`` spell."""
        ...


class CorpusTokenizer(Tokenizer, Protocol):
    """A tokenizer for very many texts."""

    def encode_all(self, texts: Sequence[str], /) -> list[list[int]]:
        """Ids of every text: what ``encode`` gives, only faster."""
        ...


class KeywordSearch:
    """Finds keywords in prompts as a tokenizer sees them (paper §6, checker prompts).

    A keyword is there when its own ids are a contiguous run of the prompt's, or when one id of
    the prompt decodes, stripped of white space, to the keyword. ``important`` as one id does not
    hold ``import``.

    Args:
        tokenizer: the model's tokenizer. Each text and id is given to it once.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: dict[str, tuple[int, ...]] = {}
        self._stripped: dict[int, str] = {}

    def holds(self, text: str, keyword: str) -> bool:
        """Whether the ids of ``text`` hold ``keyword``."""
        ids = self._encode(text)
        return contains_run(ids, self._encode(keyword)) or any(
            self._decode(token) == keyword for token in ids
        )

    def _encode(self, text: str) -> tuple[int, ...]:
        if text not in self._ids:
            self._ids[text] = tuple(self._tokenizer.encode(text))
        return self._ids[text]

    def _decode(self, token: int) -> str:
        if token not in self._stripped:
            self._stripped[token] = self._tokenizer.decode([token]).strip()
        return self._stripped[token]


def contains_run(ids: Sequence[int], run: Sequence[int]) -> bool:
    """Whether ``run`` occurs in ``ids`` as a contiguous run; an empty run never does."""
    width = len(run)
    if not width:
        return False
    wanted = tuple(run)
    starts = range(len(ids) - width + 1)
    return any(tuple(ids[start : start + width]) == wanted for start in starts)
