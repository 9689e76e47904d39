"""Text for a terminal: aligned tables, wrapped paragraphs, sizes and counts in words."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

WIDTH = 96
#: why what was read of a file alone may have been changed without anybody's noticing
NO_DIGESTS_OF_PARTS = (
    "an older record has no digests of them (atlas status --verify reads it whole)"
)
_GAP = "  "
#: columns that a text is given, however narrow the terminal
_LEAST = 10
_NOTHING = "–"
#: Unicode categories that could change what a terminal shows: control and formatting characters
#: (among them those that turn the direction of writing), and lone surrogates
_STEERING = ("Cc", "Cf", "Cs")
_NUMBER = re.compile(r"[-+]?[\d.,]+( ?(%|[kMG]?B))?")


def table(
    header: Sequence[str],
    rows: Iterable[Iterable[object]],
    at_most: Mapping[str, int] | None = None,
) -> list[str]:
    """A table as indented lines of text, numbers aligned right; no lines if there are no rows.

    Where there is less `room`, cells are wrapped; where that does not do, rows are lists.

    Args:
        header: one name per column.
        rows: cells; ``None`` is shown as a dash, a float with four decimals.
        at_most: column → width beyond which its cells are wrapped.
    """
    shown = [[_shown(cell) for cell in row] for row in rows]
    lines = table_in_room(header, shown, at_most)
    if lines is None:
        return _one_below_the_other(header, shown, room() or WIDTH)
    return lines


def table_in_room(
    header: Sequence[str],
    rows: Iterable[Iterable[object]],
    at_most: Mapping[str, int] | None = None,
) -> list[str] | None:
    """Like `table`; ``None`` where the `room` is too little even with cells wrapped."""
    shown = [[_shown(cell) for cell in row] for row in rows]
    if not shown:
        return []
    limits = [(at_most or {}).get(name) for name in header]
    numeric = [all(_is_number(row[i]) for row in shown) for i in range(len(header))]
    cells, widths = _laid_out([list(header), *shown], limits)
    end = room()
    if end is not None and _breadth(widths) > end:
        narrower = _narrowed([list(header), *shown], widths, numeric, end)
        if narrower is None:
            return None
        cells, widths = _laid_out([list(header), *shown], narrower)
    lines = []
    for row in cells:
        for parts in zip_longest(*row, fillvalue=""):
            aligned = [
                " " * (width - _width(part)) + part if right else _left(part, width)
                for part, width, right in zip(parts, widths, numeric, strict=True)
            ]
            lines.append((_GAP + _GAP.join(aligned)).rstrip())
    return lines


def room() -> int | None:
    """Return how many columns there are: as COLUMNS says, else the terminal; None: it is none."""
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and len(told) < 10 and int(told):
        return int(told)
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    return shutil.get_terminal_size().columns if is_terminal else None


def _laid_out(
    rows: Sequence[Sequence[str]], limits: Sequence[int | None]
) -> tuple[list[list[list[str]]], list[int]]:
    """The lines of each cell, and the width of each column."""
    cells = [list(map(_wrapped, row, limits)) for row in rows]
    columns = zip(*cells, strict=True)
    return cells, [max(_width(line) for cell in column for line in cell) for column in columns]


def _breadth(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * len(widths)


def _narrowed(
    rows: Sequence[Sequence[str]], widths: Sequence[int], numeric: Sequence[bool], end: int
) -> list[int] | None:
    """Widths with which a table ends at ``end``, no word broken; ``None`` where there are none."""
    least = [
        width if right else max(_width(word) for cell in column for word in cell.split() or [""])
        for column, width, right in zip(zip(*rows, strict=True), widths, numeric, strict=True)
    ]
    found = list(widths)
    while _breadth(found) > end:
        wide = [i for i, width in enumerate(found) if width > least[i]]
        if not wide:
            return None
        found[max(wide, key=found.__getitem__)] -= 1
    return found


def _one_below_the_other(
    header: Sequence[str], rows: Iterable[Sequence[str]], end: int
) -> list[str]:
    """Each row as lines of its own, a name and a value each, with an empty line between rows."""
    names = max(map(_width, header))
    left = max(end - names - 2 * len(_GAP), _LEAST)
    lines: list[str] = []
    for row in rows:
        lines += [""] if lines else []
        for name, cell in zip(header, row, strict=True):
            first, *more = _wrapped(cell, left) or [""]
            lines.append(f"{_GAP}{_left(name, names)}{_GAP}{first}".rstrip())
            lines += [f"{_GAP}{'':<{names}}{_GAP}{line}" for line in more]
    return lines


def section(title: str, lines: Iterable[str]) -> list[str]:
    """Lines under a title, with an empty line before it; nothing if there are no lines."""
    lines = list(lines)
    return ["", title, *lines] if lines else []


def paragraph(text: str, indent: int = 2, hanging: int = 2) -> list[str]:
    """Text wrapped at `WIDTH` or what `room` there is; lines after the first hang by that more."""
    space = " " * indent
    return textwrap.wrap(
        text,
        max(min(WIDTH, room() or WIDTH), 2 * _LEAST),
        initial_indent=space,
        subsequent_indent=space + " " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def size(n_bytes: int) -> str:
    """A number of bytes in a unit that suits it: ``1234567`` → ``1.2 MB``."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.1f} {unit}"
    return f"{n_bytes} B"


def count(number: int, noun: str) -> str:
    """A number with its noun, plural where it is not 1: ``1 file``, ``2 files``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def printable(text: str, keep: str = "") -> str:
    """Text from anywhere, with characters that would steer a terminal spelled out, as ``\\x1b``.

    Those in ``keep``, such as line breaks, stay.
    """
    return "".join(
        repr(c)[1:-1] if unicodedata.category(c) in _STEERING and c not in keep else c for c in text
    )


def _shown(cell: object) -> str:
    if cell is None:
        return _NOTHING
    return f"{cell:.4f}" if isinstance(cell, float) else str(cell)


def _width(text: str) -> int:
    """The columns that a text takes: two for a Chinese character, none for a combining accent."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.category(each) in ("Mn", "Me") for each in text)


def _left(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _wrapped(cell: str, limit: int | None) -> list[str]:
    if limit is None or _width(cell) <= limit:
        return [cell]
    if _width(cell) == len(cell):
        return textwrap.wrap(cell, limit, break_on_hyphens=False)
    # textwrap counts characters, not columns
    lines = [""]
    for word in cell.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if _width(longer) <= limit:
            lines[-1] = longer
            continue
        lines += _broken(word, limit)
    return [line for line in lines if line]


def _broken(word: str, limit: int) -> list[str]:
    """The pieces of a word, of at most so many columns each."""
    pieces = [""]
    for character in word:
        if pieces[-1] and _width(pieces[-1] + character) > limit:
            pieces.append("")
        pieces[-1] += character
    return pieces


def _is_number(cell: str) -> bool:
    return cell == _NOTHING or _NUMBER.fullmatch(cell) is not None
