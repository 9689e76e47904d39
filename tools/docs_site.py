"""What mkdocs.yml cannot say of the site: its home page is the README, and what is left out.

mkdocs calls the functions by their names (https://www.mkdocs.org/user-guide/configuration/#hooks).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
#: links to files of the repository that are no pages
_OUTSIDE = re.compile(r"(!?)\[([^\]]*)\]\((\.\./)?((?!https?:|docs/|#)[^)\s]*)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the README as the home page."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "index.md", content=_home(readme)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Name what lies outside the site, to which a page of it cannot link."""
    markdown = markdown.replace("](../README.md)", "](index.md)")
    return re.sub(r"\[([^\]]*)\]\(\.\./([^)\s]+)\)", _named, markdown)


def _named(link: re.Match[str]) -> str:
    text, target = link.groups()
    return f"`{target}`" if text == target else f"{text} (`{target}`)"


def _home(readme: str) -> str:
    """The README with links as they are seen from the folder of the pages."""

    def seen(link: re.Match[str]) -> str:
        image, text, _, target = link.groups()
        return f"{image}[{text}](../{target})"

    return _OUTSIDE.sub(seen, readme).replace("](docs/", "](")
