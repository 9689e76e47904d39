"""A tokenizer that needs no files: every word, run of blanks and other character is one id."""

from __future__ import annotations

import re

PIECE = re.compile(r" ?[A-Za-z]+|\d|\s+|.")


class WordTokenizer:
    """As ``atlas_assets.stages.prompts.tokens.Tokenizer``; ids in order of first sight.

    A space before a word belongs to the word, as in byte-level BPE, so a keyword inside a string
    has another id than the bare keyword and is found by decoding alone.
    """

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.ids: dict[str, int] = {}

    def encode(self, text: str, /) -> list[int]:
        return [self._id(piece) for piece in PIECE.findall(text)]

    def decode(self, ids: list[int], /) -> str:
        return "".join(self.pieces[i] for i in ids)

    def _id(self, piece: str) -> int:
        if piece not in self.ids:
            self.ids[piece] = len(self.pieces)
            self.pieces.append(piece)
        return self.ids[piece]
