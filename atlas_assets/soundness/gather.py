"""The report and the captions of figures, gathered from the files of an atlas.

What is not there is left out of the report, and said to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from atlas_assets.models.identity import ModelIdentity
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.subject import (
    cells_of,
    is_about_own_prompts,
    subject_of,
    subject_of_atlas,
)
from atlas_assets.stages.artifact import Artifact, Entry
from atlas_assets.stages.catalog import ARTIFACTS, NOT_APPLICABLE, skipped_under
from atlas_assets.stages.figures.caption import Caption
from atlas_assets.stages.prompts.object_prompts import names_of_pairs
from atlas_assets.stages.report.claims import ClaimResult
from atlas_assets.stages.report.page import SECTIONS, Page, Section
from atlas_assets.stages.report.table import Table, table
from atlas_assets.stages.setting import Partition, Setting
from atlas_assets.storage.provenance import Grid, Lineage, Provenance
from atlas_assets.storage.store import AtlasStore

#: hexadecimal digits of a digest that are shown
_DIGITS = 16
#: what a report says of origins besides, where that is one
_OF_UNKNOWN_ORIGIN = (
    " Origin unknown: from files without a record that are not as the paper's repository has them."
)


def gather(store: AtlasStore, settings: AtlasSettings, claims: Sequence[ClaimResult]) -> Page:
    """Return the report of an atlas; ``settings`` say what one without a file would be about.

    Raises ArtifactError where a file is damaged, ProvenanceError where other settings made it.
    """
    subject, own = subject_of_atlas(store, settings), is_about_own_prompts(store, settings)
    cells = ((a, s) for a, s in _cells(store) if not _not_applicable(a, settings, own))
    return Page(
        model=subject.model,
        facts=facts(store, subject.model, subject.readout),
        claims=tuple(claims),
        analyses=_analyses(store, own),
        provenance=_provenance(store),
        missing=tuple(
            artifact.file_name(partition)
            for artifact, partition in cells
            if not artifact.on_demand and not store.exists(artifact.key, partition)
        ),
        own=own,
    )


def _not_applicable(artifact: Artifact, settings: AtlasSettings, own: bool) -> bool:
    return own and skipped_under(settings).get(artifact.key, "").startswith(NOT_APPLICABLE)


def facts(store: AtlasStore, model: str, readout: str) -> tuple[tuple[str, str], ...]:
    """Return (name, value) of model and readout as given, and of grid and extent of the atlas."""
    found = [("model", model), ("readout", readout)]
    lineages = (record.lineage for *_, record in _records(store) if record and record.lineage)
    if (lineage := next(lineages, None)) is not None:
        found += _facts_of(lineage)
    if store.exists("masks"):
        masks = store.read("masks")
        concepts, layers = masks["concept"].n_unique(), masks["layer"].n_unique()
        found.append(("concepts", f"{concepts:,}"))
        found.append(("layers × neurons", f"{layers:,} × {masks['width'][0]:,}"))
    if store.exists("object_prompts"):
        prompts = store.read("object_prompts")
        pairs = len(set(names_of_pairs(prompts)))
        found.append(("pairs, object prompts", f"{pairs:,}, {prompts.height:,}"))
    epsilons = sorted({setting.epsilon for setting in store.sweep})
    consistencies = sorted({setting.consistency for setting in store.sweep})
    found.append(("ε of the sweep", ", ".join(map(str, epsilons))))
    found.append(("C of the sweep", ", ".join(map(str, consistencies))))
    return tuple(found)


def _facts_of(lineage: Lineage) -> list[tuple[str, str]]:
    model, grid = lineage.model or ModelIdentity(model_id=""), lineage.grid or Grid()
    threshold, seeds = grid.loss_threshold, sorted(lineage.seeds.items())
    facts = {
        "revision": model.revision,
        "SHA-256 of the weights": model.weights_sha256,
        "SHA-256 of the tokenizer": model.tokenizer_sha256,
        "precision": lineage.dtype,
        "grid of prompts": (_cut(grid) or "as published") if lineage.grid else None,
        "loss threshold, nats": None if threshold is None else f"{threshold:g}",
        "seeds": ", ".join(f"{purpose} {seed}" for purpose, seed in seeds),
    }
    return [(name, value) for name, value in facts.items() if value]


def _cut(grid: Grid) -> str:
    if grid.stimuli is None:
        return grid.cut
    digest = f", SHA-256 {grid.stimuli_sha256[:_DIGITS]}" if grid.stimuli_sha256 else ""
    return f"own prompts, {grid.stimuli}{digest}"


def caption_of(
    store: AtlasStore, key: str, *, setting: Setting | None = None, notes: Sequence[str] = ()
) -> Caption:
    """Return the caption of a figure drawn from the artifact ``key``, with notes as sentences.

    The figure is about ``setting``; where that is ``None``, about the whole sweep.
    """
    partition = setting if ARTIFACTS[key].partitioned else None
    subject = subject_of(store, [(key, partition)])
    record = store.provenance(key, partition)
    grid = record.lineage.grid if record and record.lineage else None
    cut = f"A cut of the published grid: {grid.cut}." if grid and grid.cut else ""
    if grid and grid.stimuli:
        cut = f"Own prompts: {grid.stimuli}."
    note = " ".join(part for part in (*notes, cut) if part)
    return Caption(subject.model, subject.readout, setting, note or None)


def _analyses(store: AtlasStore, own: bool) -> tuple[Section, ...]:
    """The sections, with what the artifacts declare to stand in them and what there is of that."""
    found: dict[str, list[tuple[Artifact, Entry]]] = {section.id: [] for section in SECTIONS}
    for artifact in ARTIFACTS.values():
        for entry in artifact.entries:
            found[entry.section].append((artifact, entry))
    sections = []
    for section in SECTIONS:
        entries = sorted(found[section.id], key=lambda each: each[1].rank)
        tables = [table for each in entries if (table := _table(store, *each)) is not None]
        sentences = [text for each in entries if (text := _sentence(store, *each)) is not None]
        opening = (own and section.of_own) or section.introduction
        findings = " ".join(sentences)
        sections.append(
            replace(section, introduction=opening, findings=findings, tables=tuple(tables))
        )
    return tuple(section for section in sections if section.tables)


def _table(store: AtlasStore, artifact: Artifact, entry: Entry) -> Table | None:
    """The table of an entry, its caption naming the setting; ``None`` where there is nothing."""
    value = _value(store, artifact.key, entry.setting)
    if entry.table is None or value is None:
        return None
    beside = [_value(store, entry.beside, None)] if entry.beside else []
    shown = entry.table(value, *beside)
    setting = entry.setting or _setting_of(store, entry.setting_of or artifact.key)
    return replace(shown, caption=f"{shown.caption}, at {setting}") if setting else shown


def _sentence(store: AtlasStore, artifact: Artifact, entry: Entry) -> str | None:
    value = _value(store, artifact.key, entry.setting)
    return None if entry.sentence is None or value is None else entry.sentence(value)


def _value(store: AtlasStore, key: str, setting: Setting | None) -> Any | None:
    """The artifact, or ``None`` where it is not there."""
    return store.read(key, setting) if store.exists(key, setting) else None


def _setting_of(store: AtlasStore, key: str) -> Setting | None:
    """The only setting that an artifact speaks of, where there is one."""
    record = store.provenance(key) if store.exists(key) else None
    return record.setting if record and record.setting else ARTIFACTS[key].setting


def _provenance(store: AtlasStore) -> Section:
    records = _records(store)
    libraries: dict[str, set[str]] = {}
    for *_, record in records:
        for library, version in (record.versions if record else {}).items():
            libraries.setdefault(library, set()).add(version)
    rows = [_file_row(store, *file) for file in records]
    took_part = [(name, ", ".join(sorted(versions))) for name, versions in libraries.items()]
    return Section(
        "provenance",
        "Where the files come from",
        "Every file records what it was made from; the digest is of its content, whatever its "
        "encoding. Origin release: from the paper's frozen files, which carry no record."
        + (_OF_UNKNOWN_ORIGIN if any(row[2] == "unknown" for row in rows) else ""),
        (
            table(
                "Files of the atlas",
                ["file", "artifact", "origin", "code version", "content", "made from"],
                rows,
                folded=True,
            ),
            table("Libraries", ["library", "version"], sorted(took_part)),
        ),
    )


def _file_row(
    store: AtlasStore, artifact: Artifact, setting: Partition | None, record: Provenance | None
) -> list[str]:
    name = artifact.file_name(setting)
    if record is None:
        return [name, artifact.key, store.origin(artifact.key, setting), "–", "–", "–"]
    inputs = ", ".join(sorted(record.inputs)) or "–"
    digest = record.payload_sha256[:_DIGITS]
    return [name, artifact.key, record.origin, record.code_version, digest, inputs]


def _records(store: AtlasStore) -> list[tuple[Artifact, Partition | None, Provenance | None]]:
    """The files that are there, without the reports themselves, with their records."""
    there = [(a, s) for a, s in _cells(store) if store.exists(a.key, s)]
    return [(artifact, s, store.provenance(artifact.key, s)) for artifact, s in there]


def _cells(store: AtlasStore) -> list[tuple[Artifact, Partition | None]]:
    """The files that there should be, without the reports themselves."""
    cells = [(ARTIFACTS[key], setting) for key, setting in cells_of(store)]
    return [cell for cell in cells if cell[0].group != "stage_17_report"]
