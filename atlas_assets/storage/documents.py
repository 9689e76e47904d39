"""Documents for readers: HTML and Markdown, with their provenance beside them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from atlas_assets.errors import ArtifactError
from atlas_assets.files.locations import Source, content, label
from atlas_assets.storage.codec import SidecarCodec, instance_of
from atlas_assets.storage.provenance import Provenance


class _TextFile(SidecarCodec[str]):
    """A text in UTF-8 with ``\\n`` line ends."""

    def check(self, value: str, *, where: str) -> None:
        """Requires a text that is not blank and can be encoded in UTF-8."""
        instance_of(value, str, where=where)
        if not value.strip():
            raise _unsound(where, "a text", "a blank one")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _unsound(where, "text in UTF-8", str(error)) from error

    def payload_digest(self, value: str) -> str:
        """SHA-256 (hex) of the text in UTF-8."""
        return hashlib.sha256(value.encode()).hexdigest()

    def describe(self, value: str) -> dict[str, int | float | str]:
        """Numbers of lines and of characters."""
        return {"n_lines": value.count("\n"), "n_characters": len(value)}

    def encode(self, value: str, provenance: Provenance) -> bytes:  # noqa: ARG002
        """Returns the text in UTF-8."""
        return value.encode()

    def decode(self, source: Source, *, part: str | None = None) -> str:  # noqa: ARG002
        """Reads the text of a file."""
        try:
            text = content(source).decode()
        except UnicodeDecodeError as error:
            raise _unsound(label(source), "text in UTF-8", str(error)) from error
        self.check(text, where=label(source))
        return text


@dataclass(frozen=True)
class HtmlFile(_TextFile):
    """A self-contained HTML page."""

    kind = "html"


@dataclass(frozen=True)
class MarkdownFile(_TextFile):
    """A Markdown document."""

    kind = "markdown"


def _unsound(where: str, expected: str, found: str) -> ArtifactError:
    return ArtifactError(
        "the document is not sound",
        where=where,
        expected=expected,
        found=found,
        remedy="materialise it again",
    )
