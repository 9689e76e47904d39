"""``atlas export``: the circuits of the atlas in force, in forms that other programs read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlas_assets.cli.command import UNREADABLE, USAGE, Answer, AnsweringCommand
from atlas_assets.cli.options import SETTING_METAVAR, as_json, typed_setting
from atlas_assets.cli.text import count, size
from atlas_assets.errors import ArtifactWriteError, expect

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
    type=click.Path(path_type=Path),
    help="File, of neuronpedia a folder. Default: named after the atlas, in the current folder.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
def export(form: str, typed: str | None, into: Path | None, overwrite: bool) -> Answer:
    """Write the circuits in the FORM that another program reads.

    csv: a line per neuron of a circuit, with ε, C, concept, layer and neuron. json: the data of the
    explorer, which the explorer of another atlas opens to compare. neuronpedia: a folder laid out
    as the exports of Neuronpedia are, a feature per neuron, explained by the concepts that hold it
    (after its public documentation; not tried on the live service).
    """
    from atlas_assets.atlas.open import open_in_force, require_folder
    from atlas_assets.files.atomic import write_bytes
    from atlas_assets.settings import AtlasSettings

    setting = None if typed is None else typed_setting(typed)
    settings = AtlasSettings.from_env()
    store = open_in_force(settings)
    require_folder(store.root)
    ending = "-neuronpedia" if form == "neuronpedia" else f".{form}"
    target = into or Path(settings.atlas_name + ending)
    made = {"csv": _csv, "json": _json, "neuronpedia": _neuronpedia}[form](store, setting)
    expect(
        overwrite or not target.exists(),
        ArtifactWriteError,
        "something is in the way of the export",
        where=str(target.absolute()),
        expected="nothing at that path",
        found="a folder" if target.is_dir() else "a file",
        remedy="name another target with --into, or replace it with --overwrite",
    )
    sizes = {}
    for name, data in made:
        path = (target / name if name else target).absolute()
        write_bytes(path, data, what="the export")
        sizes[str(path)] = len(data)
    written = [{"path": path, "size_bytes": n_bytes} for path, n_bytes in sizes.items()]
    document = {"folder": str(store.root), "form": form, **as_json(setting), "files": written}

    def text() -> Iterator[str]:
        told = f"{count(len(sizes), 'file')}, {size(sum(sizes.values()))}"
        yield f"exported: {target.absolute()} ({told})"

    return Answer("atlas.export/1", document, text)


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
    activations = store.read("object_activations") if there else None
    site = lineage.site if lineage else PAPER_SITE
    return neuronpedia_of(model, setting, _circuits(store, setting), activations, site)


def _circuits(store: AtlasStore, setting: Setting) -> Masks:
    from atlas_assets.atlas.open import require_file

    require_file(store, "object_masks", setting)
    universal: Masks = store.read("object_masks", setting, part="universal").universal
    return universal
