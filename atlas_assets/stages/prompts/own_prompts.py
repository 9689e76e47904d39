"""A user's own prompts and concepts: the file that ``ATLAS_STIMULI`` names, judged row by row.

The file is parquet, CSV or JSON lines, with the columns of `COLUMNS`. Each row is a prompt of a
concept. The circuit of a concept is what the masks of its units have in common; prompts with the
role ``checker``, which bring the concept to mind without showing it, make its checker mask. Nothing
in the file is believed: what breaks a rule is a StimulusError that names the row.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from atlas_assets.errors import StimulusError
from atlas_assets.stages.artifact import Needs
from atlas_assets.stages.concepts import SEPARATOR, concept_name
from atlas_assets.stages.prompts.checker_prompts import OWN_SCHEMA as CHECKER_SCHEMA
from atlas_assets.stages.prompts.checker_prompts import Variant
from atlas_assets.stages.prompts.own_file import Row, numbered_rows
from atlas_assets.stages.prompts.tokens import Tokenizer

REQUIRED = ("concept", "prompt_text")
COLUMNS = ("concept", "unit", "prompt_text", "role", "start", "end")
ROLES = ("object", "checker")
#: the unit of a row that names none
ONE_UNIT = "all"
#: an atlas has a mask per unit, and compares every two concepts
MOST_CONCEPTS, MOST_UNITS = 1_000, 20_000
LONGEST_NAME, LONGEST_PROMPT = 100, 100_000
#: of all prompts together; a small file of parquet may hold very many
MOST_CHARACTERS = 256 * 2**20
_WHOLE = re.compile(r"([0-9]{1,9})(?:\.0+)?")
#: columns of the object prompts before a model has scored them
CANDIDATE_SCHEMA = {
    "concept": pl.String,
    "unit": pl.String,
    "variation_id": pl.Int64,
    "prompt_text": pl.String,
    "start": pl.Int64,
    "end": pl.Int64,
}


class _Row(NamedTuple):
    """A sound row of the file."""

    role: str
    concept: str
    unit: str
    prompt: str
    start: int | None
    end: int | None


@dataclass(frozen=True, eq=False)
class OwnPrompts:
    """The prompts of one file.

    Attributes:
        name: The name of the file, without its folder.
        rows: The sound rows, sorted by role, concept and unit; those of one unit as in the file.
    """

    name: str
    rows: tuple[_Row, ...] = field(repr=False)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 (hex) of the rows: the same for the same prompts in another format."""
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in self.rows)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def concepts(self) -> tuple[str, ...]:
        """The concepts that have object prompts, ``own__{concept}``, sorted."""
        return tuple(sorted({concept_name("own", row.concept) for row in self._of("object")}))

    @property
    def lacks(self) -> frozenset[Needs]:
        """All but prompts, and checker prompts where the file has some."""
        has_checkers = any(True for _ in self._of("checker"))
        return frozenset(Needs) - {Needs.PROMPTS, *([Needs.CHECKERS] if has_checkers else [])}

    def object_candidates(self) -> pl.DataFrame:
        """Return the object prompts: columns ``CANDIDATE_SCHEMA``, numbered within each unit."""
        numbered = _numbered(self._of("object"), lambda row: (row.concept, row.unit))
        rows = [
            (row.concept, row.unit, number, row.prompt, row.start, row.end)
            for row, number in numbered
        ]
        return pl.DataFrame(rows, schema=CANDIDATE_SCHEMA, orient="row")

    def checker_prompts(self, variant: Variant, tokenizer: Tokenizer) -> pl.DataFrame:  # noqa: ARG002
        """Return the checker prompts, numbered within each concept, whatever the tokenizer."""
        rows = [
            (concept_name("own", row.concept), number, row.prompt, row.start, row.end)
            for row, number in _numbered(self._of("checker"), lambda row: row.concept)
        ]
        return pl.DataFrame(rows, schema=CHECKER_SCHEMA.polars, orient="row")

    def _of(self, role: str) -> Iterator[_Row]:
        return (row for row in self.rows if row.role == role)


def read(path: Path) -> OwnPrompts:
    """Read the prompts in a file.

    Raises:
        StimulusError: There is no such file, it cannot be read, or a row is not sound.
    """
    return OwnPrompts(path.name, tuple(_sound_rows(numbered_rows(path, COLUMNS, REQUIRED), path)))


def _numbered(rows: Iterable[_Row], unit: Any) -> Iterator[tuple[_Row, int]]:
    counts: dict[Any, int] = {}
    for row in rows:
        number = counts.get(unit(row), 0)
        counts[unit(row)] = number + 1
        yield row, number


def _sound_rows(rows: Iterable[Row], path: Path) -> list[_Row]:
    """Judge every row, then what the rows say together; return them sorted."""
    sound: list[_Row] = []
    #: (concept, prompt) → (role, unit) → row
    seen: dict[tuple[str, str], dict[tuple[str, str], str]] = {}
    #: concept without its capitals → concept, row
    spelled: dict[str, tuple[str, str]] = {}
    characters = 0
    for numbered in rows:
        at_row = str(numbered)
        judge = _Judge(f"{path}, {at_row}")
        row = judge.row(numbered.values)
        characters += len(row.prompt)
        if characters > MOST_CHARACTERS:
            raise judge.refused(f"prompts of at most {MOST_CHARACTERS:,} characters", "more")
        _require_new(row, seen.setdefault((row.concept, row.prompt), {}), at_row, judge)
        folded = unicodedata.normalize("NFKC", row.concept).casefold()
        name, at = spelled.setdefault(folded, (row.concept, at_row))
        if name != row.concept:
            found = f"{row.concept!r}, and {name!r} in {at}"
            raise judge.refused("concepts that differ by more than capitals", found)
        sound.append(row)
    _require_whole(sound, dict(spelled.values()), path)
    return sorted(sound, key=lambda row: (row.role, row.concept, row.unit))


def _require_new(row: _Row, places: dict[tuple[str, str], str], at_row: str, judge: _Judge) -> None:
    """Refuse a prompt that its unit has already, or that shows its concept and lacks it."""
    place = (row.role, row.unit if row.role == "object" else "")
    others = [at for (role, _), at in places.items() if role != row.role]
    if place in places:
        found = f"the prompt of {places[place]} again"
        raise judge.refused("each prompt of a unit, and each checker prompt, once", found)
    if others:
        found = f"the prompt of {others[0]}, which has the other role"
        raise judge.refused("a prompt that shows the concept, or one that does not", found)
    places[place] = at_row


def _require_whole(rows: list[_Row], first_row: dict[str, str], path: Path) -> None:
    shown = {row.concept for row in rows if row.role == "object"}
    for row in rows:
        if row.concept not in shown:
            where = f"{path}, {first_row[row.concept]}"
            found = f"{row.concept!r} has checker prompts only"
            raise _refused(where, "a concept that has object prompts", found)
    units = {(row.concept, row.unit) for row in rows if row.role == "object"}
    for what, n, most in (
        ("concepts", len(shown), MOST_CONCEPTS),
        ("units", len(units), MOST_UNITS),
    ):
        if n > most:
            raise _refused(str(path), f"at most {most:,} {what}", f"{n:,}")


class _Judge:
    """Judges the values of one row."""

    def __init__(self, where: str) -> None:
        self._where = where

    def row(self, raw: dict[str, Any]) -> _Row:
        concept = self._name("concept", raw)
        if SEPARATOR in concept or concept.endswith("_"):
            expected = "a name without two underscores in a row or one at its end"
            raise self.refused(expected, f"concept {concept!r}")
        unit = ONE_UNIT if raw.get("unit") in (None, "") else self._name("unit", raw)
        role = raw.get("role") or ROLES[0]
        if role not in ROLES:
            raise self.refused("the role object or checker", f"role {role!r:.80}")
        prompt = self._prompt(raw.get("prompt_text"))
        start, end = (self._place(name, raw.get(name)) for name in ("start", "end"))
        if (start is None) != (end is None):
            raise self.refused("both start and end, or neither", f"start {start}, end {end}")
        if start is not None and end is not None and not 0 <= start < end <= len(prompt):
            expected = f"0 ≤ start < end ≤ {len(prompt)}, the characters of the prompt"
            raise self.refused(expected, f"start {start!s:.40}, end {end!s:.40}")
        return _Row(str(role), concept, unit, prompt, start, end)

    def refused(self, expected: str, found: str) -> StimulusError:
        return _refused(self._where, expected, found)

    def _name(self, column: str, raw: dict[str, Any]) -> str:
        """Judge a name: it becomes a key of HDF5 files and text of tables, figures and pages."""
        name = raw.get(column)
        if not isinstance(name, str) or not name.strip():
            raise self.refused(f"a name in the column {column}", _shown(name))
        sound = (
            len(name) <= LONGEST_NAME
            and name.isprintable()
            and name[0].isalnum()
            and "/" not in name
            and name == name.rstrip()
            and name == unicodedata.normalize("NFC", name)
        )
        if not sound:
            expected = (
                f"a {column} of at most {LONGEST_NAME} printable characters (composed, as NFC "
                "has them) that begins with a letter or digit, has no / and no blank at its end"
            )
            raise self.refused(expected, _shown(name))
        return name

    def _prompt(self, text: Any) -> str:
        if not isinstance(text, str) or not text.strip():
            raise self.refused("a prompt in the column prompt_text", _shown(text))
        if len(text) > LONGEST_PROMPT:
            expected = f"a prompt of at most {LONGEST_PROMPT:,} characters"
            raise self.refused(expected, f"{len(text):,}")
        if "\0" in text or (not text.isascii() and _half_a_pair(text)):
            expected = "text without NUL characters and halves of surrogate pairs in prompt_text"
            raise self.refused(expected, _shown(text))
        return text

    def _place(self, column: str, value: Any) -> int | None:
        """A whole number; pandas writes those of a column with gaps as decimals."""
        if value is None or value == "" or value != value:
            return None
        if isinstance(value, str) and (digits := _WHOLE.fullmatch(value)):
            return int(digits[1])
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise self.refused(f"a whole number in the column {column}", _shown(value))


def _half_a_pair(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"{value!r:.80}"


def _refused(where: str, expected: str, found: str) -> StimulusError:
    return StimulusError(
        "the own prompts cannot be used",
        where=where,
        expected=expected,
        found=found,
        remedy="correct the file that ATLAS_STIMULI names; docs/own_prompts.md says what it holds",
    )
