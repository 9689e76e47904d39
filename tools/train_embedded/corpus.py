"""Python source that every installation has: the standard library of the running interpreter."""

from __future__ import annotations

import hashlib
import sysconfig
from dataclasses import dataclass
from pathlib import Path

#: third-party code, tests, tables and generated text are no sample of how Python is written
EXCLUDED = frozenset(
    {
        "__pycache__",
        "dist-packages",
        "encodings",
        "ensurepip",
        "idle_test",
        "idlelib",
        "pydoc_data",
        "site-packages",
        "test",
        "tests",
        "turtledemo",
    }
)


@dataclass(frozen=True)
class Source:
    """One module's source.

    Attributes:
        name: path below the corpus folder, with forward slashes.
        text: its text.
    """

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """SHA-256 of the text as UTF-8."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def read_corpus(folder: Path | None = None) -> list[Source]:
    """Read every Python file below ``folder`` that is UTF-8 and not in an excluded folder.

    Args:
        folder: default: the standard library of the running interpreter.

    Returns:
        Sources sorted by name.
    """
    folder = Path(sysconfig.get_paths()["stdlib"]) if folder is None else folder
    sources = []
    for path in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
        relative = path.relative_to(folder)
        if EXCLUDED.isdisjoint(relative.parts[:-1]):
            try:
                sources.append(Source(relative.as_posix(), path.read_text(encoding="utf-8")))
            except UnicodeDecodeError:
                continue  # the few files in other encodings are tests of those encodings
    return sources


def manifest_digest(sources: list[Source]) -> str:
    """Return the SHA-256 over the sources' names and digests: it is equal when the corpus is."""
    lines = "".join(f"{source.sha256}  {source.name}\n" for source in sources)
    return hashlib.sha256(lines.encode()).hexdigest()
