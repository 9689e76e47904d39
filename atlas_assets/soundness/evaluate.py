"""The claims of the paper, evaluated on one atlas. Needs neither Dagster nor the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from atlas_assets.errors import AtlasError
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.evidence import StoreEvidence
from atlas_assets.soundness.subject import Cell, Subject, subject_of, subject_of_atlas
from atlas_assets.stages.report.claims import Claim, Observed, show
from atlas_assets.stages.report.published_claims import CLAIMS, PAPER_READOUT
from atlas_assets.storage.store import AtlasStore

#: rows whose numbers do not depend on where the network was read
_WITHOUT_READOUT = ("inventory", "prompts", "keywords")


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
