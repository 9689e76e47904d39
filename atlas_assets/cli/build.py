"""``atlas build``: the whole atlas in one run, with a line for each asset."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from atlas_assets.cli.command import (
    FINDING,
    INTERRUPTED,
    OK,
    UNREADABLE,
    Answer,
    AnsweringCommand,
    how_to_materialise,
)
from atlas_assets.cli.text import count, paragraph, printable, section
from atlas_assets.interrupts import remembered
from atlas_assets.progress import duration, kept_standard_error

if TYPE_CHECKING:
    from atlas_assets.settings import AtlasSettings


@click.command(
    cls=AnsweringCommand,
    exit_codes={
        OK: "the atlas is there, and every check that blocks has passed",
        FINDING: "a check that blocks has not passed",
        UNREADABLE: "an asset could not be made; the others were",
        INTERRUPTED: "interrupted; the same command goes on",
    },
)
@remembered()
def build() -> Answer:
    """Build the whole atlas: the job atlas, in this process.

    Everything is made anew, what is up to date too (of a series, the atlases that lack something);
    `dagster asset materialize -m atlas_assets.definitions --select NAME` makes one artifact.

    A line for each asset, a bar for each pass of the model, and warnings go to standard error. The
    whole log is kept in Dagster's instance, in the folder that DAGSTER_HOME names, else in
    .dagster_home; `atlas ui` shows it. A pass that was interrupted goes on from where it was.
    """
    from upath import UPath

    from atlas_assets.api.building import build_and_tell
    from atlas_assets.atlas.buildable import require_buildable
    from atlas_assets.settings import AtlasSettings

    settings, start = AtlasSettings.from_env(), time.monotonic()
    require_buildable(settings)
    click.echo(f"building in {UPath(settings.data_dir).absolute() / settings.atlas_name}", err=True)
    told = build_and_tell(settings, _Display)
    if told.interrupted:
        click.echo("interrupted; `atlas build` goes on with what was begun", err=True)
        raise click.exceptions.Exit(INTERRUPTED)
    opened = _opened(settings)
    if told.failures:
        opened["findings"] = []  # those of a page that was made earlier
    document = {
        **opened,
        "run_id": told.run_id,
        "seconds": round(time.monotonic() - start, 1),
        "checks_passed": told.passed,
        "checks_not_passed": told.unmet,
        "failures": told.failures,
    }
    code = UNREADABLE if told.failures else FINDING if told.blocking else OK
    return Answer("atlas.build/1", document, lambda: _text(document), code)


class _Display:
    """A line on standard error for each asset that has been made, and for each warning."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0

    def done(self, asset: str, seconds: float | None) -> None:
        self._done += 1
        number = str(self._done).rjust(len(str(self._total)))
        took = "  left out" if seconds is None else f"{seconds:8.1f} s"
        self._print(f"[{number}/{self._total}] {asset:<30}{took}")

    def warned(self, step: str, sentence: str) -> None:
        for line in paragraph(f"{step}: {printable(sentence)}", indent=4, hanging=2):
            self._print(line)

    def _print(self, line: str) -> None:
        click.echo(line, file=kept_standard_error(), err=True)


def _opened(settings: AtlasSettings) -> dict[str, Any]:
    """Where the atlas lies, its report, and what it shows; of a series, its folder alone."""
    from atlas_assets.atlas.findings import findings
    from atlas_assets.atlas.open import open_in_force
    from atlas_assets.atlas.series import checkpoints
    from atlas_assets.atlas.versions import folder_in_force

    if checkpoints(settings):
        return {"folder": str(folder_in_force(settings)), "report": None, "findings": []}
    store = open_in_force(settings)
    report = str(store.path("atlas_report")) if store.exists("atlas_report") else None
    return {"folder": str(store.root), "report": report, "findings": findings(store)}


def _how_to_make(errors: Iterable[str]) -> list[str]:
    """Say which commands make the files again that errors tell to materialise, each once."""
    told = [error for error in errors if "materialise" in error]
    places = [re.search(r"^ *where: (.*)$", error, re.MULTILINE) for error in told]
    found = dict.fromkeys(how_to_materialise(place[1]) for place in places if place)
    return [line for lines in found for line in lines]


def _causes(failures: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the steps that each error has failed: one that many meet is told once."""
    found: dict[str, list[str]] = {}
    for step, error in failures.items():
        found.setdefault(error, []).append(step)
    return found


def _failure(error: str, steps: Sequence[str]) -> Iterator[str]:
    first, *others = error.splitlines() or ["no reason is given"]
    yield from paragraph(f"{', '.join(steps)}: {first}")
    yield from (f"  {line}" for line in others)


def _text(document: dict[str, Any]) -> Iterator[str]:
    unmet = document["checks_not_passed"]
    not_passed = f", {len(unmet)} not" if unmet else ""
    passed = f"; {count(document['checks_passed'], 'check')} passed{not_passed}"
    built = "not all could be made" if document["failures"] else "built"
    # the atlases of a series are checked in runs of their own
    any_checked = document["checks_passed"] or unmet or not document["failures"]
    yield f"{built} in {duration(document['seconds'])}{passed if any_checked else ''}"
    yield from section(
        "not passed",
        [line for check, found in unmet.items() for line in paragraph(f"{check}: {found}")],
    )
    yield from section(
        "could not be made",
        [line for told in _causes(document["failures"]).items() for line in _failure(*told)],
    )
    yield from _how_to_make(document["failures"].values())
    numbered = enumerate(document["findings"], 1)
    yield from section(
        "what it shows", [line for n, text in numbered for line in paragraph(f"{n}. {text}", 2, 3)]
    )
    yield ""
    yield f"atlas:  {document['folder']}"
    if document["report"]:
        yield f"page:   {document['report']} (atlas open)"
    yield f"log:    run {document['run_id'][:8]} in Dagster (atlas ui)"
