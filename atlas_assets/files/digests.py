"""Short digests, for names of folders and for what a setting names."""

from __future__ import annotations

import hashlib
from pathlib import Path


def with_digest(path: Path) -> str:
    """Return the name of a folder or file with a few digits that tell it from others so named."""
    path = path.expanduser().resolve()
    return f"{path.name}-{short_digest(str(path))}"


def file_digest(file: str) -> str:
    """Return a digest of a file's content, or its name where it cannot be read."""
    try:
        with Path(file).expanduser().open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()[:16]
    except OSError:
        return file


def short_digest(text: str) -> str:
    """Return six hexadecimal digits of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:6]
