"""Documents for readers: HTML and Markdown, with their provenance beside them."""

from __future__ import annotations

import hashlib

from atlas_assets.errors import unsound
from atlas_assets.files.locations import Source, content, label
from atlas_assets.storage.codec import SidecarCodec
from atlas_assets.storage.provenance import Provenance

_WHAT = "the document is not sound"


class _TextFile(SidecarCodec[str]):
    """A text in UTF-8 with ``\\n`` line ends."""

    holds = str

    def check(self, value: str, *, where: str) -> None:
        """Refuse a text that is blank or cannot be encoded in UTF-8."""
        super().check(value, where=where)
        if not value.strip():
            raise unsound(_WHAT, where, "a text", "a blank one")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise unsound(_WHAT, where, "text in UTF-8", str(error)) from error

    def payload_digest(self, value: str) -> str:
        return hashlib.sha256(value.encode()).hexdigest()

    def describe(self, value: str) -> dict[str, int | float | str]:
        return {"n_lines": value.count("\n"), "n_characters": len(value)}

    def encode(self, value: str, provenance: Provenance) -> bytes:  # noqa: ARG002
        return value.encode()

    def decode(self, source: Source, *, part: str | None = None) -> str:  # noqa: ARG002
        try:
            text = content(source).decode()
        except UnicodeDecodeError as error:
            raise unsound(_WHAT, label(source), "text in UTF-8", str(error)) from error
        self.check(text, where=label(source))
        return text


class HtmlFile(_TextFile):
    """A self-contained HTML page."""

    kind = "html"


class MarkdownFile(_TextFile):
    """A Markdown document."""

    kind = "markdown"
