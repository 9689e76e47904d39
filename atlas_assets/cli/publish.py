"""``atlas publish``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from atlas_assets.cli.command import FINDING, OK, UNREADABLE, USAGE, Answer, AnsweringCommand
from atlas_assets.cli.options import with_options
from atlas_assets.cli.text import count, paragraph, size, table

if TYPE_CHECKING:
    from atlas_assets.hub.publish import Published
    from atlas_assets.settings import AtlasSettings

_SIGNS = {"add": "+", "change": "~", "remove": "-"}


@click.command(
    cls=AnsweringCommand,
    exit_codes={
        OK: "published, or already there as it is",
        FINDING: "the same, and files that are there were left out: stale, or not sound",
        USAGE: "the command or an ATLAS_* variable is wrong, or there is no token",
        UNREADABLE: "not published, or not to the end: a file, a table, the card or the Hub is in "
        "the way; where the commit landed all the same, the error names it",
    },
)
@click.option(
    "--to", "target", metavar="OWNER/NAME", help="Dataset repository; else ATLAS_HUB_TARGET."
)
@click.option("--dry-run", is_flag=True, help="Show what would be committed; needs no token.")
@click.option(
    "--files",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only this file or asset; repeat it for more. Others stay as they are.",
)
@click.option(
    "--replace",
    is_flag=True,
    help="Remove what an earlier publication left there and this one does not have.",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Publish although files of an atlas are there that no publication left: those of the "
    "same path are replaced, the others stay.",
)
def publish(
    target: str | None, dry_run: bool, names: tuple[str, ...], replace: bool, overwrite: bool
) -> Answer:
    """Publish this atlas to a dataset repository of the Hugging Face Hub, in one commit.

    Published is what is fresh and passes its checks: files, a manifest, and the dataset card, whose
    hand-written text is kept. Every table is checked to load before anything is uploaded, and again
    at the new commit, which is then tagged. Nothing changed: no commit.
    """
    from atlas_assets.atlas.open import open_with_model, require_folder
    from atlas_assets.hub import publish as hub
    from atlas_assets.hub.plan import Options
    from atlas_assets.hub.staging import cells_named
    from atlas_assets.hub_client.client import HubClient
    from atlas_assets.settings import AtlasSettings

    settings = AtlasSettings.from_env()
    if target is not None:
        settings = with_options(settings.model_dump(), {"hub_target": ("--to", target)})
    repo_id = hub.require_target(settings.hub_target, "set it, or pass --to owner/name")
    store = open_with_model(settings)
    require_folder(store.root)
    cells = cells_named(store, names, "--files", "`atlas status` lists them") if names else None
    options = Options(cells=cells, replace=replace, overwrite=overwrite, dry_run=dry_run)
    found = hub.publish(store, settings, repo_id, HubClient(), options)
    document = {"folder": str(store.root), "dry_run": dry_run, **_record(found)}
    unfit = any(file.unfit for file in found.left_out)
    text = partial(_told, found, settings, str(store.root), dry_run=dry_run)
    return Answer("atlas.publish/1", document, text, FINDING if unfit else OK)


def _record(found: Published) -> dict[str, Any]:
    plan = found.plan
    record: dict[str, Any] = {
        "repository": plan.repo_id,
        "parent": plan.parent,
        "version": plan.version,
        "changes": [vars(change) for change in plan.changes],
        "unchanged": plan.unchanged,
        "kept": list(plan.kept),
        "card_lines": {"added": plan.card_lines[0], "removed": plan.card_lines[1]},
        "left_out": [vars(file) for file in found.left_out],
        "committed": found.committed,
        "tagged": found.tagged,
        "would_tag": found.would_tag,
        "tables_loaded": found.loaded,
        "sha": found.sha,
        "url": found.url,
    }
    # a sound atlas has none, and its document is as it was
    if found.not_compared:
        record["not_compared"] = [vars(check) for check in found.not_compared]
    return record


def _told(
    found: Published, settings: AtlasSettings, folder: str, *, dry_run: bool
) -> Iterator[str]:
    plan = found.plan
    kind = "private" if settings.hub_private else "public"
    head = f"head {plan.parent[:12]}" if plan.parent else None
    yield f"atlas: {folder}"
    yield f"to: {plan.repo_id}, {head or f'which is not there and would be created ({kind})'}"
    yield f"version: {plan.version}"
    yield ""
    rows = [(f"{_SIGNS[c.kind]} {c.kind}", size(c.size), c.path) for c in plan.changes]
    yield from table(("change", "size", "file"), rows)
    if plan.changes:
        total = sum(change.size for change in plan.changes if change.kind != "remove")
        yield f"  {count(len(plan.changes), 'file')} to commit, {size(total)}"
    yield f"  {count(plan.unchanged, 'file')} there already as they are"
    if plan.kept:
        yield f"  {count(len(plan.kept), 'file')} of an earlier publication stay as they are"
    added, removed = plan.card_lines
    if added or removed:
        yield f"  README.md: {count(added, 'line')} added, {removed:,} removed"
    yield from _not_in_order(found)
    yield ""
    yield from _end(found, dry_run=dry_run)


def _not_in_order(found: Published) -> Iterator[str]:
    unfit = [file for file in found.left_out if file.present]
    missing = [file.name for file in found.left_out if not file.present]
    if unfit or missing:
        yield ""
        yield "left out:"
    for file in unfit:
        yield from paragraph(f"{file.name}: {file.reason}")
    if missing:
        yield from paragraph(f"missing: {', '.join(missing)}")
    if found.not_compared:
        yield ""
        yield "published, though a check had nothing to compare with:"
    for check in found.not_compared:
        yield from paragraph(f"{check.name}: {check.check}: {check.reason}")


def _end(found: Published, *, dry_run: bool) -> Iterator[str]:
    if dry_run:
        nothing = "" if found.plan.changes or found.would_tag else ", and nothing would be"
        yield f"dry run: nothing was written{nothing}"
    elif found.committed:
        yield f"committed {found.url}"
    else:
        yield f"nothing to commit: {found.url} holds it"
    if found.would_tag:
        yield f"the tag {found.plan.version} would be made"
    if found.loaded:
        yield "every table was loaded at that commit, in full and streaming"
    if found.tagged:
        yield f"tagged {found.plan.version}"
