"""What stands on the page, and its layout as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import dataclass
from importlib import resources

import jinja2

from atlas_assets.stages.report.claims import ClaimResult, tally
from atlas_assets.stages.report.table import Table

_TEMPLATE, _STYLE = "atlas_report.html.j2", "atlas_report.css"


@dataclass(frozen=True)
class Plate:
    """A figure on the page, with its artifact's key; the width and height are in pixels.

    The explanation says what the figure shows and how that is computed, the words what is to be
    seen, for those who cannot see it.
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
    """A part of the page: its anchor, its heading, an introduction, and tables in order.

    ``of_own`` is the introduction in an atlas of own prompts, where it is another one; ``findings``
    are what the tables show, in words.
    """

    id: str
    title: str
    introduction: str
    tables: tuple[Table, ...] = ()
    of_own: str = ""
    findings: str = ""


#: the parts that show tables, in the order of the page; an artifact's `Entry` names one by its id
SECTIONS = (
    Section(
        "circuits",
        "Which circuits are specific",
        "A circuit is judged by what happens without it: its neurons are put to their means at all "
        "positions, on prompts of other subject areas than it was found on.",
    ),
    Section(
        "fractions",
        "Concept and token",
        "With A the universal mask of a concept and B the mask of its keyword alone, the concept "
        "fraction is |A∖B| / |A| and the token fraction |A∩B| / |A|, 0 where A is empty.",
        of_own="With A the universal mask of a concept and B the mask of its checker prompts, the "
        "concept fraction is |A∖B| / |A| and the token fraction |A∩B| / |A|, 0 where A is empty.",
    ),
    Section(
        "sizes",
        "Size and robustness",
        "A universal mask is the intersection of all pair masks of a concept. How it shrinks as "
        "pairs are added says whether it would survive yet another.",
    ),
    Section(
        "entanglement",
        "Entanglement of pairs",
        "E_I = |P ∖ (A ∪ B)| / |P|, with P a pair's mask, A and B the universal masks of its two "
        "concepts: the share of a pair's circuit that neither concept explains.",
        of_own="A pair is a concept with one of its units. E_I = |P ∖ A| / |P|, with P a pair's "
        "mask and A the universal mask of its concept: the share of a pair's circuit that the "
        "concept does not explain.",
    ),
    Section(
        "similarity",
        "Similarity and modularity",
        "Jaccard similarity of two masks is |A∩B| / |A∪B|, 0 where both are empty.",
    ),
)


@dataclass(frozen=True)
class Page:
    """What stands in the report of an atlas.

    Attributes:
        model: The model that the atlas is of.
        facts: (name, value) about model, readout, grid and extent.
        claims: The paper's claims, evaluated.
        figures: The figures that there are.
        analyses: The sections that hold the tables.
        provenance: The section that says where the files come from.
        missing: The names of the files that are not there.
        own: Whether the atlas is of own prompts.
    """

    model: str
    facts: tuple[tuple[str, str], ...]
    claims: tuple[ClaimResult, ...]
    figures: tuple[Plate, ...]
    analyses: tuple[Section, ...]
    provenance: Section
    missing: tuple[str, ...]
    own: bool = False

    @property
    def verdicts(self) -> tuple[tuple[str, int], ...]:
        """How many claims there are of each verdict, in the order they first occur."""
        return tuple(Counter(claim.verdict for claim in self.claims).items())

    @property
    def summary(self) -> str:
        """What circuits identify and what they are specific to, in words, where that is known."""
        return next((part.findings for part in self.analyses if part.id == "circuits"), "")

    @property
    def tally(self) -> str:
        """How many claims hold of a model that the paper does not speak of, in words."""
        return tally(self.claims)

    @property
    def notes(self) -> tuple[str, ...]:
        """The different notes on claims, in the order they first occur."""
        return tuple(dict.fromkeys(claim.note for claim in self.claims if claim.note))


def render(page: Page) -> str:
    """Return the page as HTML: same page, same text.

    Everything on the page is escaped; images are in it; nothing is loaded from elsewhere.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template(_TEMPLATE, globals={"len": len})
    return template.render(page=page, style=_text(_STYLE), sign=_sign) + "\n"


def _sign(verdict: str) -> str:
    """Return the sign of a verdict, so that colour is not needed to tell verdicts apart."""
    return {"holds": "✓", "broken": "✗", "observed, not claimed": "○"}.get(verdict, "–")


def _text(name: str) -> str:
    return (resources.files("atlas_assets.stages.report") / name).read_text(encoding="utf-8")
