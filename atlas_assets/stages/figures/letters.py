"""What figures can write: their font has no letters of some scripts, and labels little room."""

from __future__ import annotations

import hashlib
from functools import cache

from matplotlib.font_manager import FontProperties, findfont, get_font

FONT = "DejaVu Sans"
_WEIGHTS = ("normal", "bold")
_LONGEST_LABEL = 24
_DOTS = "…"
#: of a digest, in the place of what is left out: names that begin and end alike have other labels
_DIGITS = 4


def drawable(text: str) -> str:
    """Return a text with the letters that the font lacks as Python writes them: ``\\u5982``."""
    return "".join(_pieces(text))


def label(name: str) -> str:
    """Return a name as a label: `drawable`, where it is long with a digest for its middle."""
    pieces = _pieces(name)
    if sum(map(len, pieces)) <= _LONGEST_LABEL:
        return "".join(pieces)
    middle = f"{_DOTS}{hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]}{_DOTS}"
    half = (_LONGEST_LABEL - len(middle)) // 2
    return f"{_fitting(pieces, half)}{middle}{_fitting(pieces[::-1], half, backwards=True)}"


def _pieces(text: str) -> list[str]:
    has = _letters()
    return [c if ord(c) in has or c == "\n" else c.encode("unicode_escape").decode() for c in text]


def _fitting(pieces: list[str], room: int, *, backwards: bool = False) -> str:
    kept: list[str] = []
    for piece in pieces:
        room -= len(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept[::-1] if backwards else kept)


@cache
def _letters() -> frozenset[int]:
    """The code points that the font has in every weight that figures use."""
    fonts = (get_font(findfont(FontProperties(family=FONT, weight=w))) for w in _WEIGHTS)
    return frozenset.intersection(*(frozenset(font.get_charmap()) for font in fonts))
