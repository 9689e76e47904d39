"""The parts of the report; an artifact's `Entry` names the one it stands in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    """What stands above the tables of a part.

    Attributes:
        title: its heading.
        introduction: before the tables.
    """

    title: str
    introduction: str


#: anchor → heading, in the order of the page
SECTIONS: Mapping[str, Heading] = {
    "fractions": Heading(
        "Concept and token",
        "With A the universal mask of a concept and B the mask of its keyword alone, the concept "
        "fraction is |A∖B| / |A| and the token fraction |A∩B| / |A|, 0 where A is empty.",
    ),
    "sizes": Heading(
        "Size and robustness",
        "A universal mask is the intersection of all pair masks of a concept. How it shrinks as "
        "pairs are added says whether it would survive yet another.",
    ),
    "entanglement": Heading(
        "Entanglement of pairs",
        "E_I = |P ∖ (A ∪ B)| / |P|, with P a pair's mask, A and B the universal masks of its two "
        "concepts: the share of a pair's circuit that neither concept explains.",
    ),
    "similarity": Heading(
        "Similarity and modularity",
        "Jaccard similarity of two masks is |A∩B| / |A∪B|, 0 where both are empty.",
    ),
}
