"""What a part of the harness reports: a row per promise, with what went against it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

#: what can go against a promise, by the field of `Row` that counts it
FAULTS = {
    "lost": "lost",
    "torn": "torn",
    "mixed": "mixed sets",
    "hangs": "hangs",
    "aborts": "aborts",
    "silent": "silent differences",
    "foreign": "foreign exceptions",
    "left": "leftovers",
}


@dataclass
class Row:
    """One promise, how it was tried, and how often it was broken.

    Attributes:
        promise: in plain words.
        tried: what was done against it.
        cases: how often.
        lost: files or states that were there and are gone.
        torn: files that are neither the earlier nor the later one.
        mixed: sets of files of which some are the earlier and some the later ones.
        hangs: cases that did not end within their time.
        aborts: processes that ended by a signal that nobody sent them.
        silent: wrong content that was handed over, or another end, without a word.
        foreign: exceptions that are none of the package's own, or false alarms.
        left: cases that left files behind which the next write does not remove.
        peak_mb: most memory that a process of a case held, in MB; 0 where it was not measured.
        seconds: by the clock.
        notes: for each fault, which case it was and what was seen.
    """

    promise: str
    tried: str
    cases: int = 0
    lost: int = 0
    torn: int = 0
    mixed: int = 0
    hangs: int = 0
    aborts: int = 0
    silent: int = 0
    foreign: int = 0
    left: int = 0
    peak_mb: float = 0
    seconds: float = 0
    notes: list[str] = field(default_factory=list)

    @property
    def broken(self) -> int:
        """How many faults there were."""
        return sum(getattr(self, fault) for fault in FAULTS)

    def add(self, case: int, seen: Seen) -> None:
        """Count what a case has shown."""
        self.cases += seen.cases
        self.peak_mb = max(self.peak_mb, seen.peak_mb)
        for fault, note in seen.faults:
            setattr(self, fault, getattr(self, fault) + 1)
            self.notes.append(f"case {case}: {FAULTS[fault]}: {note}")


@dataclass
class Seen:
    """What one case has shown.

    Attributes:
        faults: the field of `Row` that counts a fault, and what was seen.
        peak_mb: most memory that a process of it held, in MB.
        cases: as how many it counts.
    """

    faults: list[tuple[str, str]] = field(default_factory=list)
    peak_mb: float = 0
    cases: int = 1

    def note(self, fault: str, what: object) -> None:
        """Add a fault."""
        self.faults.append((fault, " ".join(str(what).split())[:300]))


def draw(seed: int, part: str, case: int) -> random.Random:
    """Return the random numbers of a case: the same for the same seed, part and number."""
    return random.Random(f"{seed}/{part}/{case}")


def as_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return the rows for the file that keeps them, without the notes of cases."""
    names = [of.name for of in fields(Row) if of.name != "notes"]
    return [{name: getattr(row, name) for name in names} for row in rows]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the Markdown table of rows as `as_json` gives them."""
    head = ["promise", "tried", "cases", *FAULTS.values(), "peak MB", "s"]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "--:|" * (len(head) - 2)]
    for row in rows:
        numbers = [row["cases"], *(row[fault] for fault in FAULTS)]
        last = [f"{row['peak_mb']:,.0f}" if row["peak_mb"] else "", f"{row['seconds']:,.0f}"]
        cells = [row["promise"], row["tried"], *(f"{number:,}" for number in numbers), *last]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
