"""The claims as a document: ``claims.md``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from atlas_assets.stages.report.claims import ClaimResult, NotApplicable, tally
from atlas_assets.stages.report.published_claims import PAPER_MODEL, PAPER_READOUT

_COLUMNS = ("claim", "where", "statement", "setting", "expected", "observed", "verdict")
_EXPLANATION = f"""\
*Expected* is what Wilam (2026), CSP-Atlas, arXiv:2605.24603, or the report on it, states of
`{PAPER_MODEL}` and its frozen artifacts (readout `{PAPER_READOUT}`); *observed* is what this atlas
shows, computed the same way. A claim *holds* or is *broken* only where the paper claims it of the
atlas at hand; of another model, or of a part of the grid, it is *observed, not claimed*, beside
which stands whether it is as in the paper: that it does not hold of another model is no failure.
What the paper states of its whole grid is *not applicable* to an atlas whose settings cut that.
Numbers are compared to ±0.001, counts and names exactly, circuit sizes to the decimal printed."""


def claims_markdown(results: Sequence[ClaimResult]) -> str:
    """Return the document of evaluated claims, in their order; it depends on nothing else."""
    if results and all(isinstance(result, NotApplicable) for result in results):
        note = results[0].note
        return f"# Claims\n\nNot applicable: {note}.\n"
    parts = ["# Claims", _EXPLANATION, _subjects(results), _tally(results)]
    parts += [_table(results), _notes(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def claims_table(results: Iterable[ClaimResult]) -> str:
    """Return statement, expected and observed as a table to put into another document."""
    header = ("claim", f"expected (`{PAPER_MODEL}`)", "observed")
    rows = [
        (f"{result.statement} ({result.section})", result.expected, result.observed)
        for result in results
    ]
    return markdown_table(header, rows)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of plain texts below a header in Markdown; empty cells hold a dash."""
    return _tabulated(header, ([_escaped(cell) for cell in row] for row in rows))


def _tabulated(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    shown = [[cell or "–" for cell in row] for row in rows]
    lines = [header, ["---"] * len(header), *shown]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _subjects(results: Iterable[ClaimResult]) -> str:
    """Return the models and readouts that the observations belong to, as text."""
    lines = ["Observed in:", ""]
    for model, readout in dict.fromkeys((result.model, result.readout) for result in results):
        differs = "" if readout == PAPER_READOUT else f" (the claims' data: `{PAPER_READOUT}`)"
        lines.append(f"- model `{model}`, readout `{readout}`{differs}")
    return "\n".join(lines)


def _tally(results: Sequence[ClaimResult]) -> str:
    counts = Counter(result.verdict for result in results)
    told = "; ".join(f"{verdict}: {number}" for verdict, number in sorted(counts.items()))
    of_others = tally(results)
    beside = f" Of an atlas that the paper does not speak of: {of_others}." if of_others else ""
    return f"{sum(counts.values())} claims. {told[:1].upper()}{told[1:]}.{beside}"


def _table(results: Iterable[ClaimResult]) -> str:
    rows = [
        (
            f"`{result.id}`",
            result.section,
            _escaped(result.statement),
            result.setting,
            _escaped(result.expected),
            _escaped(result.observed),
            _judged(result),
        )
        for result in results
    ]
    return _tabulated(_COLUMNS, rows)


def _judged(result: ClaimResult) -> str:
    """Return the verdict, and of another model whether it is as in the paper."""
    if result.holds is None or result.about_this_atlas:
        return result.verdict
    return f"{result.verdict}: {result.as_in_paper}"


def _notes(results: Iterable[ClaimResult]) -> str:
    """Return why claims are not applicable, or could not be evaluated, each reason once."""
    headed: dict[str, dict[str, list[str]]] = {"Not applicable": {}, "Not evaluated": {}}
    for result in results:
        if result.holds is None:
            of_kind = isinstance(result, NotApplicable)
            reasons = headed["Not applicable" if of_kind else "Not evaluated"]
            reasons.setdefault(result.note, []).append(f"`{result.id}`")
    sections = [
        "\n".join([f"## {head}", "", *map(_because, reasons.items())])
        for head, reasons in headed.items()
        if reasons
    ]
    return "\n\n".join(sections)


def _because(told: tuple[str, list[str]]) -> str:
    reason, ids = told
    return f"- {', '.join(ids)}: {_escaped(reason)}"


def _escaped(text: str) -> str:
    """Escape text for Markdown: a bar would end a cell, underscores would make italics."""
    for mark in ("\\", "|", "*", "_", "`", "<", ">"):
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())
