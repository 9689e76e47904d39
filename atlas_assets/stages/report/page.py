"""What stands on the page, and its layout as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache
from importlib import resources

import jinja2

from atlas_assets.stages.report.claims import ClaimResult
from atlas_assets.stages.report.table import Table

_TEMPLATE, _STYLE = "atlas_report.html.j2", "atlas_report.css"


@dataclass(frozen=True)
class Plate:
    """A figure on the page.

    Attributes:
        key: of its artifact.
        title: over it.
        explanation: what it shows and how it is computed.
        words: what is to be seen, for those who cannot.
        png: the image.
        width: of the image, pixels.
        height: of the image, pixels.
    """

    key: str
    title: str
    explanation: str
    words: str
    png: bytes
    width: int
    height: int

    @property
    def source(self) -> str:
        """The image as a URL that holds it."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"

    @property
    def alternative(self) -> str:
        """The first sentence of `words`; all of them stand below the image."""
        return self.words.partition(". ")[0].removesuffix(".") + "."


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        id: its anchor.
        title: its heading.
        introduction: before the tables.
        tables: in order.
    """

    id: str
    title: str
    introduction: str
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Page:
    """The report.

    Attributes:
        model: what the atlas is of.
        facts: (name, value) about model, readout, grid and extent.
        claims: the paper's claims, evaluated.
        figures: those that there are.
        analyses: what the tables say.
        provenance: where the files come from.
        missing: artifacts that are not there.
    """

    model: str
    facts: tuple[tuple[str, str], ...]
    claims: tuple[ClaimResult, ...]
    figures: tuple[Plate, ...]
    analyses: tuple[Section, ...]
    provenance: Section
    missing: tuple[str, ...]

    @property
    def verdicts(self) -> tuple[tuple[str, int], ...]:
        """How many claims there are of each verdict, in the order they first occur."""
        found = [claim.verdict for claim in self.claims]
        return tuple((verdict, found.count(verdict)) for verdict in dict.fromkeys(found))

    @property
    def notes(self) -> tuple[str, ...]:
        """The different notes on claims, in the order they first occur."""
        return tuple(dict.fromkeys(claim.note for claim in self.claims if claim.note))


def render(page: Page) -> str:
    """The page as HTML: same page, same text.

    Everything on the page is escaped; images are in it; nothing is loaded from elsewhere.
    """
    template = _environment().get_template(_TEMPLATE)
    return template.render(page=page, style=_text(_STYLE), sign=_sign) + "\n"


def _sign(verdict: str) -> str:
    """A sign that tells verdicts apart without colour."""
    return {"holds": "✓", "broken": "✗", "observed, not claimed": "○"}.get(verdict, "–")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["len"] = len
    return environment


def _text(name: str) -> str:
    return (resources.files("atlas_assets.stages.report") / name).read_text(encoding="utf-8")
