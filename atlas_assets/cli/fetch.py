"""The command ``atlas fetch``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from atlas_assets.cli.command import FINDING, OK, UNREADABLE, USAGE, Answer, AnsweringCommand
from atlas_assets.cli.options import SETTING_METAVAR, as_json, typed_setting, with_options
from atlas_assets.cli.text import count, paragraph, printable, size, table
from atlas_assets.errors import SettingsError, expect

if TYPE_CHECKING:
    from atlas_assets.hub.fetch import Outcome
    from atlas_assets.hub.source import PublishedFile, Source
    from atlas_assets.settings import AtlasSettings
    from atlas_assets.storage.store import AtlasStore


@click.command(
    cls=AnsweringCommand,
    exit_codes={
        OK: "every file that was asked for is there",
        FINDING: "a file could not be fetched; the others were",
        USAGE: "the source has no such file, or a value is out of range",
        UNREADABLE: "the Hub refuses or does not answer; it has no file of an atlas, or one of "
        "another atlas than the settings or the folder",
    },
)
@click.argument("names", nargs=-1, metavar="[FILE or ASSET]...")
@click.option(
    "--source",
    metavar="REPO",
    help="Dataset repository, owner/name. Default: ATLAS_HUB_SOURCE, else the paper's.",
)
@click.option(
    "--revision", help="Branch, tag or sha. Default: ATLAS_HUB_SOURCE_REVISION, else main."
)
@click.option(
    "--setting",
    "at",
    metavar=SETTING_METAVAR,
    multiple=True,
    help="Of files per setting, only this one, as eps=0.5,C=0.8; repeatable.",
)
@click.option("--list", "only_list", is_flag=True, help="Say what the source has; fetch nothing.")
@click.option("--overwrite", is_flag=True, help="Replace files of another content, too.")
@click.option("--into", metavar="FOLDER", help="Another folder than that of the atlas in force.")
def fetch(
    names: Sequence[str],
    source: str | None,
    revision: str | None,
    at: Sequence[str],
    only_list: bool,
    overwrite: bool,
    into: str | None,
) -> Answer:
    """Fetch published files of an atlas from a dataset repository on the Hub.

    Without names: every file that an atlas knows. Each is compared with the Hub's digest and
    validated before it takes its place; one that is there already is left alone, so an interrupted
    fetch goes on where it stopped. They go into a folder of their own, named after the source,
    unless ATLAS_NAME names one. What the manifest of the source says of model and grid is compared
    first, with the settings in force, or with the files in the folder of --into.
    """
    from atlas_assets.hub import fetch as hub_fetch
    from atlas_assets.hub.source import open_source
    from atlas_assets.hub_client.client import HubClient

    settings = _with_source(source, revision)
    wanted, store, client = (
        [typed_setting(text) for text in at],
        _store(settings, into),
        HubClient(),
    )
    assert settings.hub_source is not None
    if only_list:
        client = client.interactive()
    found = open_source(client, settings.hub_source, settings.hub_source_revision)
    chosen = hub_fetch.choose(found, names, wanted)
    if only_list:
        return _listing(found, store, chosen)
    outcomes = list(hub_fetch.fetch(client, found, store, chosen, overwrite=overwrite))
    return _answer(found, store, outcomes, None if into else settings)


def _with_source(source: str | None, revision: str | None) -> AtlasSettings:
    """Return the settings in force; without a source among them, that of the paper."""
    from atlas_assets.settings import DEFAULT_SOURCE, AtlasSettings

    settings = AtlasSettings.from_env()
    given = settings.model_dump(exclude_unset=True)
    if source is not None and source != settings.hub_source:
        given["hub_source_revision"] = None
    given["hub_source"] = settings.hub_source or DEFAULT_SOURCE
    options = {"hub_source": ("--source", source), "hub_source_revision": ("--revision", revision)}
    return with_options(given, options)


def _store(settings: AtlasSettings, into: str | None) -> AtlasStore:
    from atlas_assets.atlas.open import open_in_force
    from atlas_assets.files.remote import folder_at
    from atlas_assets.storage.provenance import Lineage
    from atlas_assets.storage.store import AtlasStore

    if into is None:
        return open_in_force(settings)
    expect(
        into.strip() != "",
        SettingsError,
        "no folder is named",
        where="--into",
        expected="the path of a folder, there or not",
        found=repr(into),
        remedy="correct the option (. is the current folder), or leave it out",
    )
    return AtlasStore(folder_at(into), Lineage)


def _listing(source: Source, store: AtlasStore, chosen: Sequence[PublishedFile]) -> Answer:
    files, rows = [], []
    for file in chosen:
        is_here, path = store.exists(file.artifact.key, file.setting), file.files[0].path
        files.append({**_record(file), "present": is_here})
        here = "yes" if is_here else None
        rows.append((file.artifact.key, file.setting, printable(path), size(file.size), here))
    total = sum(file.size for file in chosen)
    lines = [
        *_heading(source, store),
        *table(("artifact", "setting", "file", "size", "here"), rows),
        f"{count(len(chosen), 'file')} ({size(total)})",
    ]
    return Answer("atlas.fetch-list/1", {**_about(source, store), "files": files}, lambda: lines)


def _answer(
    source: Source,
    store: AtlasStore,
    outcomes: Sequence[Outcome],
    settings: AtlasSettings | None,
) -> Answer:
    states = Counter(outcome.state for outcome in outcomes)
    document = {
        **_about(source, store),
        "counts": {state: states[state] for state in ("fetched", "unchanged", "failed")},
        "files": [_outcome_record(outcome) for outcome in outcomes],
    }

    def text() -> Iterator[str]:
        yield from _heading(source, store)
        for outcome in outcomes:
            yield f"  {outcome.state:<9}  {outcome.file.name} ({size(outcome.file.size)})"
            yield from (f"      {line}" for line in str(outcome.error or "").splitlines())
        yield ", ".join(f"{number} {state}" for state, number in states.items())
        if settings is not None and states["failed"] < len(outcomes):
            yield from _how_to_use(settings)

    return Answer("atlas.fetch/1", document, text, FINDING if states["failed"] else OK)


def _about(source: Source, store: AtlasStore) -> dict[str, Any]:
    where = {"source": source.repo_id, "sha": source.sha, "folder": str(store.root)}
    return {**where, "notes": list(source.notes)}


def _heading(source: Source, store: AtlasStore) -> Iterator[str]:
    yield f"source: {source.repo_id} at {source.sha}"
    yield f"atlas: {store.root}"
    for note in source.notes:
        yield from paragraph(f"note: {note}", indent=0)


def _record(file: PublishedFile) -> dict[str, Any]:
    return {
        "artifact": file.artifact.key,
        **as_json(file.setting),
        "name": file.name,
        "path_in_repository": file.files[0].path,
        "size_bytes": file.size,
    }


def _outcome_record(outcome: Outcome) -> dict[str, Any]:
    error = outcome.error
    fields = ("what", "where", "expected", "found", "remedy")
    return _record(outcome.file) | {
        "path": str(outcome.path),
        "state": outcome.state,
        "sha256": outcome.record.sha256 if outcome.record else None,
        "error": {name: getattr(error, name) for name in fields} if error else None,
    }


def _how_to_use(settings: AtlasSettings) -> Iterator[str]:
    """Say how, only where the environment alone would not lead to this folder."""
    from atlas_assets.atlas.versions import folder_in_force
    from atlas_assets.settings import AtlasSettings

    if folder_in_force(AtlasSettings.from_env()) != folder_in_force(settings):
        yield f"to work with these files: export ATLAS_HUB_SOURCE={settings.hub_source}"
        if settings.hub_source_revision is not None:
            yield f"  and: export ATLAS_HUB_SOURCE_REVISION={settings.hub_source_revision}"
