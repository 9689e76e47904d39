"""Figures as PNG and PDF, and what is written for readers: HTML and Markdown."""

from __future__ import annotations

from atlas_assets.orchestration.io_managers.base import AtlasIOManager


class FigureIOManager(AtlasIOManager):
    """Figures; a PDF lies beside each PNG, and the materialisation carries a preview."""

    kind = "png"


class HtmlIOManager(AtlasIOManager):
    """The report, one self-contained page."""

    kind = "html"


class MarkdownIOManager(AtlasIOManager):
    """Reports in Markdown."""

    kind = "markdown"
