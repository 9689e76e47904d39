"""The claims of the paper, evaluated on one atlas. Needs neither Dagster nor the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from atlas_assets.errors import AtlasError
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.evidence import StoreEvidence
from atlas_assets.soundness.subject import Cell, Subject, subject_of, subject_of_atlas
from atlas_assets.stages.report.claims import Claim, ClaimResult, Observed, show
from atlas_assets.stages.report.published_claims import CLAIMS, PAPER_READOUT
from atlas_assets.storage.store import AtlasStore

#: rows whose numbers do not depend on where the network was read
_WITHOUT_READOUT = ("inventory", "prompts", "keywords")


def evaluate_claims(
    store: AtlasStore,
    settings: AtlasSettings | None = None,
    claims: Iterable[Claim] = CLAIMS,
) -> list[ClaimResult]:
    """Every claim against what lies on disk.

    A claim whose evidence is missing, out of date or damaged is not evaluated, and says why.

    Args:
        store: of the atlas.
        settings: what an atlas without a single file would be about.
        claims: of them, by default all.
    """
    return list(evaluations(StoreEvidence(store), settings, claims))


def evaluations(
    evidence: StoreEvidence, settings: AtlasSettings | None, claims: Iterable[Claim]
) -> Iterator[ClaimResult]:
    """The claims one by one, on evidence that they share."""
    whole: Subject | None = None
    for claim in claims:
        try:
            value, cells = evidence.observe(claim)
            subject = subject_of(evidence.store, cells)
        except AtlasError as error:
            whole = whole or subject_of_atlas(evidence.store, settings)
            note = _reason(error, evidence.store)
            yield _result(claim, whole, note=note, unreadable=evidence.is_damage(error))
            continue
        yield _result(
            claim,
            subject,
            value=value,
            note=_readout_note(claim, subject),
            sources=tuple(sorted(_file_name(evidence.store, cell) for cell in cells)),
        )


def _result(
    claim: Claim,
    subject: Subject,
    *,
    note: str,
    value: Observed | None = None,
    sources: tuple[str, ...] = (),
    unreadable: bool = False,
) -> ClaimResult:
    return ClaimResult(
        id=claim.id,
        section=claim.section,
        statement=claim.statement,
        asset=claim.asset,
        expected=str(claim.expected),
        observed="" if value is None else show(value),
        holds=None if value is None else claim.expected.holds(value),
        about_this_atlas=subject.claimed,
        model=subject.model,
        readout=subject.readout,
        note=note,
        setting=str(claim.setting) if claim.setting else "",
        tolerance=claim.expected.tolerance,
        computed=claim.computed,
        value=value,
        sources=sources,
        unreadable=unreadable,
    )


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


def _file_name(store: AtlasStore, cell: Cell) -> str:
    return store.path(*cell).name
