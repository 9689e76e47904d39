"""What a claim of the paper is, and when an observation bears it out.

The claims themselves are in `atlas_assets.stages.report.published_claims`. Each says what is
expected of the paper's model, and knows how to observe the same quantity in any atlas.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.setting import Setting

#: numbers that are not counts may differ from the printed ones by this much
TOLERANCE = 0.001
#: what the computation of a difference may itself be off by
_ROUNDING = 1e-9

Observed = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]


class Evidence(Protocol):
    """What claims are computed from; everything raises AtlasError where it cannot be had."""

    def table(self, key: str, setting: Setting | None = None) -> pl.DataFrame:
        """The table of an artifact, at ``setting`` where there is one per setting."""

    def universal(self, setting: Setting) -> Masks:
        """The universal masks at ``setting``."""

    def concepts(self) -> tuple[str, ...]:
        """All concepts that have a universal mask, sorted."""


class Expectation(Protocol):
    """What a claim expects."""

    @property
    def tolerance(self) -> float:
        """Largest difference allowed; 0 where the value must be met exactly."""

    def holds(self, observed: Observed) -> bool:
        """Whether the observation is as expected."""

    def __str__(self) -> str:
        """The expected value, as printed."""


@dataclass(frozen=True)
class Exactly:
    """A count or a name.

    Attributes:
        value: expected.
    """

    value: int | str

    @property
    def tolerance(self) -> float:
        """None is allowed."""
        return 0.0

    def holds(self, observed: Observed) -> bool:
        """Equality."""
        return observed == self.value

    def __str__(self) -> str:
        return show(self.value)


@dataclass(frozen=True)
class InAnyOrder:
    """Names whose order does not matter.

    Attributes:
        names: expected.
    """

    names: tuple[str, ...]

    @property
    def tolerance(self) -> float:
        """None is allowed."""
        return 0.0

    def holds(self, observed: Observed) -> bool:
        """The same names, in any order."""
        return isinstance(observed, tuple) and sorted(map(str, observed)) == sorted(self.names)

    def __str__(self) -> str:
        return show(self.names)


@dataclass(frozen=True)
class Near:
    """A number, or a row of numbers.

    Attributes:
        values: expected, as printed.
        places: decimals that were printed.
        tolerance: largest difference allowed.
    """

    values: float | tuple[float, ...]
    places: int = 4
    tolerance: float = TOLERANCE

    def holds(self, observed: Observed) -> bool:
        """As many numbers, each near its own."""
        expected, found = _numbers(self.values), _numbers(observed)
        return len(expected) == len(found) and all(
            abs(one - other) <= self.tolerance + _ROUNDING
            for one, other in zip(expected, found, strict=True)
        )

    def __str__(self) -> str:
        return " ".join(f"{value:.{self.places}f}" for value in _numbers(self.values))


@dataclass(frozen=True)
class Between:
    """A range, its ends included.

    Attributes:
        low: its lower end.
        high: its upper end.
        tolerance: by which either may be missed.
    """

    low: float
    high: float
    tolerance: float = TOLERANCE

    def holds(self, observed: Observed) -> bool:
        """One number inside the range."""
        found = _numbers(observed)
        slack = self.tolerance + _ROUNDING
        return len(found) == 1 and self.low - slack <= found[0] <= self.high + slack

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Claim:
    """One number, name or fact that the paper, or the report on it, states.

    Attributes:
        row: of the table of claims that it belongs to; a row may state several things.
        id: its own name.
        section: where it is stated.
        statement: what is stated.
        asset: the artifact that it speaks of.
        computed: how it is computed here.
        expected: of the paper's model.
        observe: computes it from an atlas.
        setting: the (ε, C) that it speaks of, where it speaks of one.
    """

    row: str
    id: str
    section: str
    statement: str
    asset: str
    computed: str
    expected: Expectation
    observe: Callable[[Evidence], Observed]
    setting: Setting | None = None


@dataclass(frozen=True)
class ClaimResult:
    """A claim, and what an atlas shows of it.

    Attributes:
        id: of the claim.
        section: of the paper, or ``report``.
        statement: what is stated there.
        asset: the artifact that it speaks of.
        expected: of the paper's model.
        observed: here; empty where it could not be evaluated.
        holds: whether the two agree; ``None`` where it could not be evaluated.
        about_this_atlas: whether the paper claims it of this atlas, so that it must hold.
        model: that it was observed in.
        readout: that it was observed with.
        note: why it could not be evaluated, or what else is to be known.
        setting: the (ε, C) that it speaks of; empty where it speaks of none.
        tolerance: largest difference allowed; 0 where the value must be met exactly.
        computed: how.
        value: observed, as a value.
        sources: files that it was observed in, by published name.
        unreadable: whether it could not be evaluated because a file is damaged.
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
        """In words; ``broken`` only where the paper claims it of this atlas."""
        if self.holds is None:
            return "cannot be evaluated" if self.about_this_atlas else "not evaluated"
        if not self.about_this_atlas:
            return "observed, not claimed"
        return "holds" if self.holds else "broken"


def show(value: Observed) -> str:
    """A value for readers: thousands separated, four decimals."""
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}"
    separator = ", " if any(isinstance(part, str) for part in value) else " "
    return separator.join(show(part) for part in value)


def _numbers(value: Observed) -> Sequence[float]:
    parts = value if isinstance(value, tuple) else (value,)
    return [float(part) for part in parts if not isinstance(part, str)]
