"""One digest for a frame's rows, so that golden prompts can be checked without their file."""

from __future__ import annotations

import hashlib
import json

import polars as pl


def frame_digest(frame: pl.DataFrame) -> str:
    """SHA-256 over one JSON array per line: the column names, then every row in its order."""
    digest = hashlib.sha256()
    for row in (frame.columns, *frame.iter_rows()):
        digest.update(json.dumps(list(row), ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()
