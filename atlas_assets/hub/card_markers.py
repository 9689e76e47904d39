"""The part of a card that is generated: the lines from one marker to the other.

A marker counts only alone on its line, from its first column on, and outside of fenced code: prose
about the markers, or an example of them, is somebody's text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from atlas_assets.errors import ArtifactError

BEGIN, END = "<!-- atlas:begin -->", "<!-- atlas:end -->"

#: a line that opens or closes fenced code, which may be in a list or a quotation
_FENCE = re.compile(r"(?:[ \t>]|[-*+][ \t]|\d+[.)][ \t])*(`{3,}(?=[^`]*$)|~{3,})(.*)", re.DOTALL)
#: which, number of its line, offset
_Marker = tuple[str, int, int]


def generated_part(body: str, *, where: str, first_line: int = 1) -> tuple[int, int] | None:
    """Where the generated part of a card begins and ends, markers included.

    Args:
        body: of the card, without its front matter.
        where: names the card in an error.
        first_line: the number, in the card, of the first line of ``body``.

    Returns:
        Offsets in ``body``; ``None`` where there are no markers.

    Raises:
        ArtifactError: there are markers, and not one pair; or no markers, and fenced code that does
            not end, in which those of a part after it would be lost.
    """
    found: list[_Marker] = []
    open_fence: int | None = None
    for number, at, line, fence in _lines(body, first_line):
        open_fence = fence
        marker = line.rstrip(" \t\r\n")
        if fence is None and marker in (BEGIN, END):
            found.append((marker, number, at))
    if [marker for marker, _, _ in found] == [BEGIN, END]:
        return found[0][2], found[1][2] + len(END)
    if found or open_fence is not None:
        raise _unclear(where, found, open_fence)
    return None


def _lines(body: str, first_line: int) -> Iterator[tuple[int, int, str, int | None]]:
    """Number, offset and text of each line, and the line that opened the fenced code it is in."""
    at, fence, opened = 0, "", None
    for number, line in enumerate(re.split(r"(?<=\n)", body), start=first_line):
        found = _FENCE.match(line)
        if found is not None and opened is None:
            fence, opened = found[1], number
        elif found is not None and found[1].startswith(fence) and not found[2].strip():
            yield number, at, line, None
            at, opened = at + len(line), None
            continue
        yield number, at, line, opened
        at += len(line)


def _unclear(where: str, found: list[_Marker], open_fence: int | None) -> ArtifactError:
    told = [f"{marker} in line {number}" for marker, number, _ in found]
    if open_fence is not None:
        told.append(f"fenced code that begins in line {open_fence} and does not end")
    return ArtifactError(
        "it is not clear which part of the card is generated; nothing was written",
        where=where,
        expected=f"one line {BEGIN} and after it one line {END}, or neither of them",
        found="; ".join(told),
        remedy="correct README.md on the Hub and publish again: remove the marker too many, put "
        "back the one that is missing, or end the fenced code; without any marker, the generated "
        "part is added at the end, and an older copy of it is for you to remove",
    )
