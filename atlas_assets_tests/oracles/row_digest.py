"""One digest for a frame's rows, so that golden prompts can be checked without their file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

import polars as pl


def rows_digest(rows: Iterable[Sequence[object]]) -> str:
    """SHA-256 over one JSON array per row and line; order counts."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(list(row), ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def frame_digest(frame: pl.DataFrame) -> str:
    """SHA-256 over the column names and every row."""
    return rows_digest([frame.columns, *frame.iter_rows()])
