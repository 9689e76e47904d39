"""``atlas status``: which files of the atlas are there and fresh."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from atlas_assets.cli.command import FINDING, OK, UNREADABLE, Answer, AnsweringCommand
from atlas_assets.cli.options import as_json
from atlas_assets.cli.text import NO_DIGESTS_OF_PARTS, count, paragraph, section, size, table
from atlas_assets.stages.setting import Definition

if TYPE_CHECKING:
    from atlas_assets.atlas.status import FileState


@click.command(
    cls=AnsweringCommand,
    exit_codes={
        OK: "every file is there and fresh",
        FINDING: "a file is stale or missing",
        UNREADABLE: "a file cannot be read, or there is no atlas",
    },
)
@click.option("--cells", is_flag=True, help="List every setting on a line of its own.")
@click.option("--verify", is_flag=True, help="Read every file whole and check its content.")
def status(cells: bool, verify: bool) -> Answer:
    """Say of each file whether it is there, what it was made with, and whether it is fresh.

    A file is stale when its inputs, the code that makes it or the settings have changed since it
    was written. Files of the paper's release carry no record and count as fresh.
    """
    from atlas_assets.atlas.open import open_with_model, require_folder
    from atlas_assets.atlas.status import ILLEGIBLE, STATES, other_files, survey
    from atlas_assets.settings import AtlasSettings
    from atlas_assets.stages.catalog import skipped_under
    from atlas_assets.stages.prompts.inventory import require_usable

    settings = AtlasSettings.from_env()
    # a misspelt name, or own prompts that cannot be used, would make every file look stale
    require_usable(settings)
    store = open_with_model(settings)
    require_folder(store.root)
    states = survey(store, verify=verify, skipped=skipped_under(settings))
    others = other_files(store)
    document = {
        "folder": str(store.root),
        "model": settings.model,
        "readout": settings.read_at,
        "verified": verify,
        "files": [_record(state) for state in states],
        "other_files": others,
    }

    def text() -> Iterator[str]:
        yield f"atlas: {store.root}"
        own = f", own prompts of {settings.stimuli}" if settings.stimuli else ""
        yield f"settings in force: {settings.model}, {settings.read_at}, {settings.dtype}{own}"
        yield from _made_with(states)
        yield ""
        yield from table(("stage", "artifact", "setting", "size", "state"), _rows(states, cells))
        yield from _reasons(states)
        yield ""
        numbers = {name: sum(state.state == name for state in states) for name in STATES}
        counted = ", ".join(f"{number} {name}" for name, number in numbers.items() if number)
        yield f"{counted} ({size(sum(state.size_bytes or 0 for state in states))})"
        if not verify:
            yield "records were read, contents were not: --verify reads those too"
        old = [s for s in states if s.provenance and not s.provenance.parts_verified]
        if old:
            yield f"parts of {count(len(old), 'file')} are not verified: {NO_DIGESTS_OF_PARTS}"
        if others:
            yield f"not part of an atlas: {', '.join(others)}"

    found = {state.state for state in states}
    code = FINDING if found & {"stale", "missing"} else OK
    if found & set(ILLEGIBLE):
        code = UNREADABLE
    return Answer("atlas.status/1", document, text, code)


def _record(state: FileState) -> dict[str, Any]:
    record = state.provenance
    return {
        "artifact": state.artifact,
        "group": state.group,
        **as_json(state.setting),
        "on_grid": state.on_grid,
        "path": str(state.path),
        "present": state.size_bytes is not None,
        "size_bytes": state.size_bytes,
        "state": state.state,
        "reason": state.reason,
        "origin": state.origin,
        "provenance": record.model_dump(mode="json", exclude={"parts"}) if record else None,
        "source": state.source.model_dump(mode="json") if state.source else None,
    }


def _made_with(states: list[FileState]) -> Iterator[str]:
    """What files were made with or fetched from, each line with its number of files."""
    accounts = Counter(map(_account, states))
    del accounts[None]
    for account, number in accounts.most_common():
        yield f"made with: {account} ({count(number, 'file')})"
    for source, number in Counter(str(s.source) for s in states if s.source).items():
        yield f"fetched from {source.replace('@', ' at ')} ({count(number, 'file')})"


def _account(state: FileState) -> str | None:
    if state.origin is None:
        return None
    lineage = state.provenance.lineage if state.provenance else None
    if lineage is None:
        if state.provenance is not None:
            return "inputs of which no record says more"
        where = "of the paper's release" if state.origin == "release" else "of unknown origin"
        return f"files {where}, which carry no record"
    model = lineage.model.model_id if lineage.model else None
    revision = lineage.model.revision if lineage.model else None
    grid = lineage.grid
    cut = "a cut grid" if grid and (grid.ast_nodes or grid.builtins) else None
    if grid and grid.stimuli:
        cut = f"own prompts of {grid.stimuli}"
    said = [model, revision and revision[:12], lineage.read_at, lineage.dtype]
    return ", ".join(filter(None, [*said, cut]))


def _rows(states: list[FileState], cells: bool) -> Iterator[tuple[str, ...]]:
    """Table rows: an artifact's files that follow each other in the same state share one row."""
    shown = ""
    for _, run in groupby(states, key=lambda state: _alike(state, cells)):
        files = list(run)
        first = files[0]
        present = sum(file.size_bytes or 0 for file in files)
        stage = first.group.removeprefix("stage_").replace("_", " ")
        yield (
            stage if stage != shown else "",
            first.artifact,
            _span(files),
            size(present) if first.size_bytes is not None else "–",
            first.state,
        )
        shown = stage


def _reasons(states: list[FileState]) -> list[str]:
    """The reasons why files are not fresh, each reason once with all the files it is true of."""
    affected: dict[tuple[str, str], list[str]] = {}
    for _, run in groupby(states, key=lambda state: _alike(state, False)):
        files = list(run)
        first = files[0]
        if first.state not in ("fresh", "missing") and first.reason is not None:
            span = f" ({_span(files)})" if first.setting else ""
            affected.setdefault((first.state, first.reason), []).append(first.artifact + span)
    told = [f"{state}: {', '.join(names)}: {reason}" for (state, reason), names in affected.items()]
    from atlas_assets.stages.catalog import ON_DEMAND

    apart = {s.artifact for s in states if s.reason and s.artifact in ON_DEMAND and s.size_bytes}
    if apart:
        told.append(
            f"the job validate, and not atlas build, makes {', '.join(sorted(apart))} again"
        )
    return section("why", [line for reason in told for line in paragraph(reason)])


def _alike(state: FileState, cells: bool) -> tuple[object, ...]:
    apart = state.setting if cells else None
    return (state.artifact, state.state, state.reason, state.origin, state.on_grid, apart)


def _span(files: list[FileState]) -> str:
    first = files[0].setting
    if first is None:
        return ""
    outside = "not in force" if isinstance(first, Definition) else "off the grid"
    off = "" if files[0].on_grid else f" ({outside})"
    return (str(first) if len(files) == 1 else count(len(files), "setting")) + off
