"""Tokenizers: that of the paper's model, and one that needs no files."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

PATTERN = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
END_OF_TEXT = "<|endoftext|>"
PIECE = re.compile(r" ?[A-Za-z]+|\d|\s+|.")


class TinyPython:
    """Byte-level BPE with 2,048 ids, from the tables in ../shared (never committed)."""

    def __init__(self, folder: Path) -> None:
        vocabulary = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
        lines = (folder / "vocab.bpe").read_text(encoding="utf-8").splitlines()
        merges = [tuple(line.split(" ")) for line in lines[1:] if line]
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.add_special_tokens([AddedToken(END_OF_TEXT, special=True)])
        self.tokenizer = tokenizer

    def encode(self, text: str, /) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: list[int], /) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=False)


class WordTokenizer:
    """Every word, run of blanks and other character is one id, in order of first sight.

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
