"""What a browser and a screen reader make of a page, without either."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

#: elements without an end tag
VOID = {"meta", "img", "br", "hr", "link", "input"}
#: attributes that make a browser load something
LOADING = {"src", "srcset", "data", "poster", "action", "formaction", "background", "manifest"}


def split(page: str) -> tuple[str, str, str]:
    """An atlas's page before its data, the data as text, and the page after it."""
    before, mark, rest = page.rpartition('"application/json">')
    data, end, after = rest.partition("</script>")
    return before + mark, data, end + after


def data_of(page: str) -> dict[str, Any]:
    """The data that an atlas's page holds."""
    found: dict[str, Any] = json.loads(split(page)[1])
    return found


@dataclass
class Element:
    """One element: its name, attributes, and text with that of its children."""

    name: str
    attributes: dict[str, str]
    inside: tuple[str, ...]
    text: str = ""


@dataclass
class Reading(HTMLParser):
    """A page as its elements, in order; a tag that is not closed as it was opened is an error."""

    page: str
    elements: list[Element] = field(default_factory=list)
    declaration: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[Element] = []
        self.feed(self.page)
        self.close()
        assert not self._open, [element.name for element in self._open]

    def handle_decl(self, decl: str) -> None:
        self.declaration = decl

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        inside = tuple(element.name for element in self._open)
        element = Element(tag, {name: value or "" for name, value in attrs}, inside)
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, tag
        assert self._open[-1].name == tag, (self._open[-1].name, tag)
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, *names: str) -> list[Element]:
        """The elements of these names."""
        return [element for element in self.elements if element.name in names]

    def loads(self) -> list[str]:
        """Every address the page asks a browser to load."""
        found = [
            value
            for element in self.elements
            for name, value in element.attributes.items()
            if name in LOADING or (name == "href" and element.name != "a")
        ]
        styles = "".join(element.text for element in self.all("style"))
        return (
            found
            + [f"url({part}" for part in styles.split("url(")[1:]]
            + (["@import"] if "@import" in styles else [])
        )
