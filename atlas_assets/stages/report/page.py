"""What stands on the page, and the page as one HTML file that needs nothing else."""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from atlas_assets.stages.report.claims import ClaimResult, tally
from atlas_assets.stages.report.table import Table

#: what `make explorer` builds, and what stands in it for the title and the data
BUNDLE, _TITLE, _DATA = "explorer.html", "ATLAS_TITLE", "ATLAS_DATA"
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


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
        analyses: The sections that hold the tables.
        provenance: The section that says where the files come from.
        missing: The names of the files that are not there.
        own: Whether the atlas is of own prompts.
    """

    model: str
    facts: tuple[tuple[str, str], ...]
    claims: tuple[ClaimResult, ...]
    analyses: tuple[Section, ...]
    provenance: Section
    missing: tuple[str, ...]
    own: bool = False

    @property
    def verdicts(self) -> tuple[tuple[str, int], ...]:
        """How many claims there are of each verdict, in the order they first occur."""
        return tuple(Counter(claim.verdict for claim in self.claims).items())

    @property
    def tally(self) -> str:
        """How many claims hold of a model that the paper does not speak of, in words."""
        return tally(self.claims)

    @property
    def notes(self) -> tuple[str, ...]:
        """The different notes on claims, in the order they first occur."""
        return tuple(dict.fromkeys(claim.note for claim in self.claims if claim.note))


def render(page: Page, data: Mapping[str, Any]) -> str:
    """Return the page as HTML: same page and data, same text.

    The data is JSON in an element that no browser runs; nothing in it can end that element.
    """
    title = html.escape(f"CSP-Atlas of {page.model}")
    bundle = (resources.files("atlas_assets.stages.report") / BUNDLE).read_text(encoding="utf-8")
    before, after = bundle.split(_DATA)
    return f"{before.replace(_TITLE, title)}{as_script(data)}{after}"


def as_script(data: Mapping[str, Any]) -> str:
    """Return JSON, in ASCII, that holds none of ``<``, ``>`` and ``&``."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.translate(_ESCAPES)
