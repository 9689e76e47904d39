"""What a claim of the paper is, and when an observation bears it out.

The claims themselves are in `atlas_assets.stages.report.published_claims`. Each says what is
expected of the paper's model, and knows how to observe the same quantity in any atlas.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

import polars as pl

from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.setting import Setting

#: numbers that are not counts may differ from the printed ones by this much
TOLERANCE = 0.001
#: what the computation of a difference may itself be off by
_ROUNDING = 1e-9

#: what of the grid of prompts settings can cut, as they and records name it
GridPart = Literal["ast_nodes", "builtins", "variations"]
Observed = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]


class Evidence(Protocol):
    """What claims are computed from; everything raises AtlasError where it cannot be had."""

    def table(self, key: str, setting: Setting | None = None) -> pl.DataFrame:
        """The table of an artifact, at ``setting`` where there is one per setting."""

    def universal(self, setting: Setting) -> Masks:
        """The universal masks at ``setting``."""

    def concepts(self) -> tuple[str, ...]:
        """All concepts that have a universal mask, sorted."""

    def is_recorded(self, key: str) -> bool:
        """Whether a table is as this program wrote it, which its record tells."""


@dataclass(frozen=True)
class Exactly:
    """The expectation of one count, one name, or several names whose order does not matter."""

    value: int | str | tuple[str, ...]
    tolerance: float = 0.0

    def holds(self, observed: Observed) -> bool:
        """Whether exactly this was observed."""
        if isinstance(self.value, tuple):
            return isinstance(observed, tuple) and sorted(map(str, observed)) == sorted(self.value)
        return observed == self.value

    def __str__(self) -> str:
        return show(self.value)


@dataclass(frozen=True)
class Near:
    """The expectation of a number, or of a row of numbers, each met up to the tolerance.

    The numbers are as printed, with that many places; the tolerance is the largest difference.
    """

    values: float | tuple[float, ...]
    places: int = 4
    tolerance: float = TOLERANCE

    def holds(self, observed: Observed) -> bool:
        """Whether as many numbers were observed, each near its own."""
        expected, found = _numbers(self.values), _numbers(observed)
        return len(expected) == len(found) and all(
            abs(one - other) <= self.tolerance + _ROUNDING
            for one, other in zip(expected, found, strict=True)
        )

    def __str__(self) -> str:
        return " ".join(f"{value:.{self.places}f}" for value in _numbers(self.values))


@dataclass(frozen=True)
class Between:
    """The expectation of one number in a range, both ends included and missed by the tolerance."""

    low: float
    high: float
    tolerance: float = TOLERANCE

    def holds(self, observed: Observed) -> bool:
        """Whether one number inside the range was observed."""
        found = _numbers(observed)
        slack = self.tolerance + _ROUNDING
        return len(found) == 1 and self.low - slack <= found[0] <= self.high + slack

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Claim:
    """One number, name or fact that the paper, or the report on it, states.

    Attributes:
        row: The row of the table of claims that states it; a row may state several things.
        id: The claim's own name.
        section: The section of the paper that states it, or ``report``.
        statement: What is stated.
        asset: The artifact that the claim speaks of.
        computed: How the quantity is computed here, in words.
        expected: What is expected of the paper's model.
        observe: The function that computes the quantity from an atlas.
        setting: The (ε, C) that the claim speaks of, where it speaks of one.
        grid_parts: What of the paper's grid must be whole for the claim to be applicable.
    """

    row: str
    id: str
    section: str
    statement: str
    asset: str
    computed: str
    expected: Exactly | Near | Between
    observe: Callable[[Evidence], Observed]
    setting: Setting | None = None
    grid_parts: frozenset[GridPart] = frozenset()


@dataclass(frozen=True)
class ClaimResult:
    """A claim, and what an atlas shows of it; what is not listed here is as in `Claim`, as text.

    Attributes:
        observed: What was observed, as text; empty where the claim could not be evaluated.
        holds: Whether the two agree; ``None`` where the claim could not be evaluated, or is not
            applicable, whatever was observed.
        about_this_atlas: Whether the paper claims it of this atlas, so that it must hold.
        model: The model that it was observed in.
        readout: The readout that it was observed with.
        note: Why it could not be evaluated, or what else is to be known.
        setting: The (ε, C) that the claim speaks of; empty where it speaks of none.
        tolerance: The largest difference allowed; 0 where the value must be met exactly.
        value: What was observed, as a value.
        sources: The files that it was observed in, by published name.
        unreadable: Whether it could not be evaluated because a file is damaged.
    """

    id: str
    section: str
    statement: str
    asset: str
    expected: str
    observed: str
    holds: bool | None
    about_this_atlas: bool
    model: str
    readout: str
    note: str
    setting: str
    tolerance: float
    computed: str
    value: Observed | None = None
    sources: tuple[str, ...] = ()
    unreadable: bool = False

    @property
    def verdict(self) -> str:
        """The result in words; ``broken`` only where the paper claims it of this atlas."""
        if self.holds is None:
            return "cannot be evaluated" if self.about_this_atlas else "not evaluated"
        if not self.about_this_atlas:
            return "observed, not claimed"
        return "holds" if self.holds else "broken"

    @property
    def as_in_paper(self) -> str:
        """Whether what the paper states of its model holds of this one, which is no failure."""
        if self.holds is None:
            return "not applicable"
        return "holds" if self.holds else "does not hold"


class NotApplicable(ClaimResult):
    """A claim about the paper's prompts, or all of its grid; the atlas is of others, or a cut."""

    @property
    def verdict(self) -> str:
        """The result in words."""
        return "not applicable"


def tally(results: Iterable[ClaimResult]) -> str:
    """Count what holds of a model that the paper does not speak of; empty where it speaks of it."""
    counts = Counter(result.as_in_paper for result in results if not result.about_this_atlas)
    if not counts["holds"] + counts["does not hold"]:
        return ""
    return (
        f"{counts['holds']} of {counts.total()} as in the paper, {counts['does not hold']} not, "
        f"{counts['not applicable']} not applicable"
    )


def show(value: Observed) -> str:
    """Return a value for readers: thousands separated, four decimals."""
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}"
    separator = ", " if any(isinstance(part, str) for part in value) else " "
    return separator.join(show(part) for part in value)


def _numbers(value: Observed) -> list[float]:
    parts = value if isinstance(value, tuple) else (value,)
    return [float(part) for part in parts if not isinstance(part, str)]
