"""The claims of the paper, evaluated on one atlas. Needs neither Dagster nor the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any

from atlas_assets.errors import AtlasError
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.evidence import StoreEvidence
from atlas_assets.soundness.subject import (
    Cell,
    Subject,
    grid_of_atlas,
    parts_cut,
    subject_of,
    subject_of_atlas,
)
from atlas_assets.stages.report.claims import Claim, ClaimResult, NotApplicable, Observed, show
from atlas_assets.stages.report.published_claims import CLAIMS, PAPER_READOUT
from atlas_assets.storage.folder import only_read
from atlas_assets.storage.store import AtlasStore

#: rows whose numbers do not depend on where the network was read
_WITHOUT_READOUT = ("inventory", "prompts", "keywords")


def evaluate_claims(
    store: AtlasStore,
    settings: AtlasSettings | None = None,
    claims: Iterable[Claim] = CLAIMS,
) -> list[ClaimResult]:
    """Evaluate claims, by default all, on what an atlas has on disk.

    A claim whose evidence is missing, out of date or damaged is not evaluated, and says why. The
    settings say what an atlas without a single file would be about.
    """
    with only_read(store.root):
        return list(evaluations(StoreEvidence(store), settings, claims))


def evaluations(
    evidence: StoreEvidence, settings: AtlasSettings | None, claims: Iterable[Claim]
) -> Iterator[ClaimResult]:
    """Evaluate claims one by one, on evidence that they share."""
    store = evidence.store
    grid = grid_of_atlas(store, settings)
    if grid.stimuli is not None:
        yield from _not_applicable(subject_of_atlas(store, settings), claims)
        return
    cut = parts_cut(grid)

    @cache
    def about(cells: frozenset[Cell]) -> Subject:
        """What these files are about; where nothing could be read, the atlas as a whole."""
        return subject_of(store, cells) if cells else subject_of_atlas(store, settings)

    def about_the_sound(cells: frozenset[Cell]) -> Subject:
        with suppress(AtlasError):
            return about(cells)
        return about(frozenset())

    for claim in claims:
        value: Observed | None = None
        sources: tuple[str, ...] = ()
        unreadable = False
        try:
            observed, cells = evidence.observe(claim)
            subject = about(cells)
        except AtlasError as error:
            subject = about_the_sound(evidence.used)
            note, unreadable = _reason(error, store), evidence.is_damage(error)
        else:
            value, note = observed, _readout_note(claim, subject)
            sources = tuple(sorted(store.path(*cell).name for cell in cells))
        # what the paper claims of an atlas is never lost, and damage is always told
        excused = claim.grid_parts & cut and not subject.claimed and not unreadable
        if excused:
            note = (
                "the claim is of the paper's whole grid, and this atlas is of a cut of it: "
                f"{grid.cut}"
            )
        judge = NotApplicable if excused else ClaimResult
        yield judge(
            **_stated(claim, subject),
            observed="" if value is None else show(value),
            holds=None if value is None or excused else claim.expected.holds(value),
            note=note,
            value=value,
            sources=sources,
            unreadable=unreadable,
        )


def _not_applicable(subject: Subject, claims: Iterable[Claim]) -> Iterator[ClaimResult]:
    note = "the paper's claims are about its own prompts, and this atlas is of others"
    for claim in claims:
        yield NotApplicable(**_stated(claim, subject), observed="", holds=None, note=note)


def _stated(claim: Claim, subject: Subject) -> dict[str, Any]:
    """What a result repeats of its claim, and of what was looked at."""
    return {
        "id": claim.id,
        "section": claim.section,
        "statement": claim.statement,
        "asset": claim.asset,
        "expected": str(claim.expected),
        "about_this_atlas": subject.claimed,
        "model": subject.model,
        "readout": subject.readout,
        "setting": str(claim.setting) if claim.setting else "",
        "tolerance": claim.expected.tolerance,
        "computed": claim.computed,
    }


def _readout_note(claim: Claim, subject: Subject) -> str:
    if claim.row in _WITHOUT_READOUT or subject.readout == PAPER_READOUT:
        return ""
    return f"readout {subject.readout}; the claim's data used {PAPER_READOUT}"


def _reason(error: AtlasError, store: AtlasStore) -> str:
    """What is missing or wrong, in one line that does not depend on where the atlas lies."""
    where = (error.where or "").replace(f"{store.root}/", "")
    parts = [where, f"found {error.found}" if error.found else ""]
    details = "; ".join(part for part in parts if part and part not in error.what)
    return " ".join(f"{error.what} ({details})".split()) if details else error.what
