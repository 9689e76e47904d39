"""``atlas export``: the circuits of the atlas in force, in forms that other programs read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlas_assets.cli.command import UNREADABLE, USAGE, Answer, AnsweringCommand
from atlas_assets.cli.options import SETTING_METAVAR, as_json, typed_setting
from atlas_assets.cli.text import count, size
from atlas_assets.errors import ArtifactWriteError, SettingsError, expect, naming

if TYPE_CHECKING:
    from atlas_assets.stages.masks.masks import Masks
    from atlas_assets.stages.setting import Setting
    from atlas_assets.storage.store import AtlasStore


@click.command(
    cls=AnsweringCommand,
    exit_codes={
        USAGE: "there is no such form or setting, or an ATLAS_* variable is wrong",
        UNREADABLE: "what is to be exported is missing, or the target is in the way",
    },
)
@click.argument("form", metavar="FORM", type=click.Choice(["neuronpedia", "csv", "json"]))
@click.option(
    *("--setting", "-s", "typed"),
    metavar=SETTING_METAVAR,
    help="Only the circuits at this setting, as eps=0.5,C=0.8. Default: csv, at every setting; "
    "neuronpedia, at the one with the most different circuits.",
)
@click.option(
    "--into",
    metavar="PATH",
    help="File, of neuronpedia a folder. Default: named after the atlas, in the current folder.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
def export(form: str, typed: str | None, into: str | None, overwrite: bool) -> Answer:
    """Write the circuits in the FORM that another program reads.

    csv: a line per neuron of a circuit, with ε, C, concept, layer and neuron. json: the data of the
    explorer, which the explorer of another atlas opens to compare. neuronpedia: a folder laid out
    as the exports of Neuronpedia are, a feature per neuron, explained by the concepts that hold it
    (after its public documentation; not tried on the live service).
    """
    from atlas_assets.atlas.open import open_in_force, require_folder
    from atlas_assets.files.atomic import write_bytes, write_folder
    from atlas_assets.settings import AtlasSettings

    setting = None if typed is None else typed_setting(typed)
    settings = AtlasSettings.from_env()
    store = open_in_force(settings)
    require_folder(store.root)
    of_folder = form == "neuronpedia"
    ending = "-neuronpedia" if of_folder else f".{form}"
    target = _target(settings.atlas_name + ending if into is None else into)
    _require_free(target, of_folder, overwrite)
    made = {"csv": _csv, "json": _json, "neuronpedia": _neuronpedia}[form](store, setting)
    with naming({"ATLAS_DATA_DIR": "--into"}, "option"):
        if of_folder:
            sizes = write_folder(target, made, what="the export")
        else:
            [(_, data)] = made
            write_bytes(target, data, what="the export")
            sizes = {target: len(data)}
    written = [{"path": str(path), "size_bytes": n_bytes} for path, n_bytes in sizes.items()]
    document = {"folder": str(store.root), "form": form, **as_json(setting), "files": written}

    def text() -> Iterator[str]:
        told = f"{count(len(sizes), 'file')}, {size(sum(sizes.values()))}"
        yield f"exported: {target} ({told})"

    return Answer("atlas.export/1", document, text)


def _target(typed: str) -> Path:
    from atlas_assets.files.remote import without_secrets

    expect(
        typed.strip() not in ("", "-") and "://" not in typed,
        SettingsError,
        "nothing can be exported to there",
        where="--into",
        expected="the path of a file on this machine, of neuronpedia of a folder",
        found=repr(without_secrets(typed)),
        remedy="correct the option, or leave it out",
    )
    return Path(typed).absolute()


def _require_free(target: Path, of_folder: bool, overwrite: bool) -> None:
    """Refuse a target at which something is that must stay, whole or in part."""
    from atlas_assets.atlas.exporting import not_of_neuronpedia
    from atlas_assets.files.atomic import settle_folder
    from atlas_assets.files.locations import explained

    with explained(target):
        if of_folder and not os.path.lexists(target):
            settle_folder(target)  # a killed export may have moved it aside
        if not os.path.lexists(target):
            return
        is_folder, is_file = target.is_dir(), target.is_file()
        kept = not_of_neuronpedia(target) if of_folder and is_folder else None
    found = "a folder" if is_folder else "a file" if is_file else "neither a file nor a folder"
    replaceable = (is_folder if of_folder else is_file) and kept is None
    expect(
        replaceable and overwrite,
        ArtifactWriteError,
        "something is in the way of the export",
        where=str(target),
        expected="nothing at that path"
        + (f", or {'such an export alone' if of_folder else 'a file'}" if overwrite else ""),
        found=f"{found} with {kept}, which is no part of an export" if kept else found,
        remedy="name another target with --into"
        + (", or replace it with --overwrite" if replaceable else ""),
    )


def _csv(store: AtlasStore, setting: Setting | None) -> Iterable[tuple[str, bytes]]:
    from atlas_assets.atlas.exporting import csv_of

    settings = store.sweep if setting is None else [setting]
    return [("", csv_of((each, _circuits(store, each)) for each in settings))]


def _json(store: AtlasStore, setting: Setting | None) -> Iterable[tuple[str, bytes]]:
    from atlas_assets.atlas.exporting import json_of
    from atlas_assets.atlas.open import require_file

    if setting is not None:
        raise click.UsageError("json holds every setting: leave --setting out")
    require_file(store, "atlas_report")
    return [("", json_of(store.read("atlas_report")))]


def _neuronpedia(store: AtlasStore, setting: Setting | None) -> Iterable[tuple[str, bytes]]:
    from atlas_assets.atlas.exporting import neuronpedia_of
    from atlas_assets.atlas.findings import most_distinct
    from atlas_assets.stages.setting import REFERENCE
    from atlas_assets.storage.provenance import PAPER_SITE

    if setting is None:
        best = most_distinct(store)
        setting = REFERENCE if best is None else best[0]
    record = store.provenance("object_masks", setting)
    lineage = record.lineage if record else None
    model = lineage.model.model_id if lineage and lineage.model else str(store.root.name)
    there = store.exists("object_activations")
    activations = store.read("object_activations").whole() if there else None
    site = lineage.site if lineage else PAPER_SITE
    return neuronpedia_of(model, setting, _circuits(store, setting), activations, site)


def _circuits(store: AtlasStore, setting: Setting) -> Masks:
    from atlas_assets.atlas.open import require_file

    require_file(store, "object_masks", setting)
    universal: Masks = store.read("object_masks", setting, part="universal").universal
    return universal
