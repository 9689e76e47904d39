"""The text of a user's own file in UTF-8, and words for what other bytes are."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from atlas_assets.errors import AtlasError

#: gives the error to raise, of where, what is expected, what was found and what to do
Refused = Callable[[object, str, str, str], AtlasError]
_SAVE = "save it as text in UTF-8 (spreadsheets call it CSV UTF-8)"
#: how files of other formats begin, and what they are; the longer beginnings first
_HEADS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xfe\x00\x00", "text in UTF-32"),
    (b"\x00\x00\xfe\xff", "text in UTF-32"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
    (b"PAR1", "a parquet file, whose name must end in .parquet"),
    (b"PK\x03\x04", "a zip archive, as a spreadsheet (.xlsx) is"),
    (b"\x1f\x8b", "a file compressed with gzip"),
    (b"\x28\xb5\x2f\xfd", "a file compressed with zstd"),
)
_LINE_END = re.compile("\r\n|\r|\n")


def text_of(data: bytes, path: Path, refused: Refused) -> str:
    """Return the text of a file, without the mark that some programs put before UTF-8.

    Args:
        data: The bytes of the file.
        path: Where they are from.
        refused: Gives the error to raise where they are not text in UTF-8 without NUL.
    """
    for head, what in _HEADS:
        if data.startswith(head):
            raise refused(path, "text in UTF-8", what, _SAVE)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = _place(data[: error.start].decode("utf-8", "replace"))
        found = f"the byte 0x{data[error.start]:02X}, as in text in another encoding"
        raise refused(f"{path}, {where}", "text in UTF-8", found, _SAVE) from error
    if "\0" in text:
        where = f"{path}, {_place(text.partition(chr(0))[0])}"
        many = text.count("\0") > len(text) // 4
        found = "many NUL characters, as in text in UTF-16" if many else "a NUL character"
        remedy = _SAVE if many else "remove it"
        raise refused(where, "text without NUL characters", found, remedy)
    return text


def _place(before: str) -> str:
    """Where in a text something is, counted from 1, by what comes before it."""
    lines = _LINE_END.split(before)
    return f"line {len(lines)}, character {len(lines[-1]) + 1}"
