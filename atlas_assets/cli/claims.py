"""``atlas claims``: the paper's published claims against the atlas in force."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from atlas_assets.cli.command import FINDING, OK, UNREADABLE, Answer, AnsweringCommand
from atlas_assets.cli.text import count, paragraph, table

if TYPE_CHECKING:
    from atlas_assets.stages.report.claims import ClaimResult

_BROKEN = "broken"


@click.command(
    cls=AnsweringCommand,
    exit_codes={
        OK: "no claim about this atlas is broken",
        FINDING: "a claim about this atlas is broken",
        UNREADABLE: "a damaged file leaves a claim unevaluated, or there is no atlas",
    },
)
@click.option("--broken", "only_broken", is_flag=True, help="List only the broken claims.")
@click.option("--markdown", is_flag=True, help="Print a Markdown table of expected and observed.")
def claims(only_broken: bool, markdown: bool) -> Answer:
    """Hold the paper's published claims against this atlas, one by one.

    They are about openai/circuit-sparsity and the frozen artifacts; of any other model the value is
    observed and nothing is claimed. A claim whose files are missing is not evaluated. Of own
    prompts none is applicable; of a cut of the grid, none that is of all of it.
    """
    from atlas_assets.atlas.open import open_in_force, require_folder
    from atlas_assets.settings import AtlasSettings
    from atlas_assets.soundness.evaluate import evaluate_claims
    from atlas_assets.stages.report.claims import tally
    from atlas_assets.stages.report.markdown import claims_table

    settings = AtlasSettings.from_env()
    store = open_in_force(settings)
    require_folder(store.root)
    results = evaluate_claims(store, settings)
    listed = [r for r in results if r.verdict == _BROKEN] if only_broken else results
    verdicts = dict(Counter(result.verdict for result in results))
    document = {
        "folder": str(store.root),
        "verdicts": verdicts,
        "claims": [{**asdict(result), "verdict": result.verdict} for result in listed],
    }

    def text() -> Iterator[str]:
        if markdown:
            yield claims_table(listed)
            return
        yield f"atlas: {store.root}"
        for (model, readout), number in Counter((r.model, r.readout) for r in results).items():
            yield f"observed in: {model}, readout {readout} ({count(number, 'claim')})"
        yield ""
        if set(verdicts) != {"not applicable"}:
            yield from _table(listed)
        yield from _notes(listed)
        yield ""
        yield ", ".join(f"{number} {verdict}" for verdict, number in verdicts.items())
        if tally(results):
            yield tally(results)

    return Answer("atlas.claims/1", document, text, _exit_code(results))


def _exit_code(results: list[ClaimResult]) -> int:
    if any(result.verdict == _BROKEN for result in results):
        return FINDING
    return UNREADABLE if any(result.unreadable for result in results) else OK


def _table(results: list[ClaimResult]) -> list[str]:
    rows = [
        (
            *(r.section, r.statement, r.expected, r.observed or None),
            None if r.holds is None else r.verdict if r.about_this_atlas else r.as_in_paper,
        )
        for r in results
    ]
    header = ("where", "claim", "expected", "observed", "verdict")
    return table(header, rows, {"claim": 38, "expected": 18, "observed": 18, "verdict": 10})


def _notes(results: list[ClaimResult]) -> Iterator[str]:
    """Each note once, with the number of claims that it is about."""
    notes = Counter(result.note for result in results if result.note)
    if notes:
        yield ""
    for note, number in notes.items():
        yield from paragraph(f"{count(number, 'claim')}: {note}")
