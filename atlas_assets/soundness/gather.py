"""Gathers the report from the files of an atlas; what is not there is left out and said to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.evaluate import ClaimResult
from atlas_assets.soundness.subject import subject_of_atlas
from atlas_assets.stages.artifact import Artifact
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.catalog_analyses import FORMS
from atlas_assets.stages.report import tables
from atlas_assets.stages.report.page import Page, Plate, Section
from atlas_assets.stages.report.table import Table, table
from atlas_assets.stages.setting import REFERENCE, Setting
from atlas_assets.storage.figures import PNG, Drawing
from atlas_assets.storage.provenance import Lineage, Provenance
from atlas_assets.storage.store import AtlasStore

_TITLES = {
    "figure_atomicity_dendrogram": "Atomicity dendrogram",
    "figure_jaccard_heatmap": "Jaccard heatmaps",
    "figure_concept_fraction": "Concept fraction by layer and type",
    "figure_sweep": "Concept fraction over the sweep",
    "figure_layer_profile": "Layer profile",
    "figure_modularity": "Modularity ranking",
    "figure_entanglement": "Distribution of the entanglement index",
}
#: hexadecimal digits of a digest that are shown
_DIGITS = 16


def gather(store: AtlasStore, settings: AtlasSettings, claims: Sequence[ClaimResult]) -> Page:
    """The page of the atlas in ``store``.

    Args:
        store: of the atlas; read, never written.
        settings: what an atlas without a single file would be about.
        claims: the paper's claims, evaluated on it.

    Raises:
        ArtifactError: a file is damaged.
        ProvenanceError: a file was made under other settings.
    """
    subject = subject_of_atlas(store, settings)
    return Page(
        model=subject.model,
        facts=facts(store, subject.model, subject.readout),
        claims=tuple(claims),
        figures=_figures(store),
        analyses=_analyses(store),
        provenance=_provenance(store),
        missing=tuple(_missing(store)),
    )


def facts(store: AtlasStore, model: str, readout: str) -> tuple[tuple[str, str], ...]:
    """(name, value) about model, readout, grid and extent.

    Args:
        store: of the atlas.
        model: that it is about.
        readout: likewise.

    Raises:
        ArtifactError: a file is damaged.
        ProvenanceError: a file was made under other settings.
    """
    found = [("model", model), ("readout", readout)]
    lineage = _lineage(store)
    if lineage is not None:
        found += _facts_of(lineage)
    if store.exists("masks"):
        masks = store.read("masks")
        concepts, layers = masks["concept"].n_unique(), masks["layer"].n_unique()
        found.append(("concepts", f"{concepts:,}"))
        found.append(("layers × neurons", f"{layers:,} × {masks['width'][0]:,}"))
    if store.exists("object_prompts"):
        prompts = store.read("object_prompts")
        pairs = prompts.select("ast_node", "builtin_obj").n_unique()
        found.append(("pairs, object prompts", f"{pairs:,}, {prompts.height:,}"))
    epsilons = sorted({setting.epsilon for setting in store.sweep})
    consistencies = sorted({setting.consistency for setting in store.sweep})
    found.append(("ε of the sweep", ", ".join(map(str, epsilons))))
    found.append(("C of the sweep", ", ".join(map(str, consistencies))))
    return tuple(found)


def _facts_of(lineage: Lineage) -> list[tuple[str, str]]:
    facts = []
    if lineage.model is not None:
        digests = {
            "revision": lineage.model.revision,
            "SHA-256 of the weights": lineage.model.weights_sha256,
            "SHA-256 of the tokenizer": lineage.model.tokenizer_sha256,
        }
        facts += [(name, value) for name, value in digests.items() if value]
    if lineage.dtype:
        facts.append(("precision", lineage.dtype))
    if lineage.grid is not None:
        facts.append(("grid of prompts", lineage.grid.cut or "as published"))
        if lineage.grid.loss_threshold is not None:
            facts.append(("loss threshold, nats", f"{lineage.grid.loss_threshold:g}"))
    if lineage.seeds:
        listed = ", ".join(f"{purpose} {seed}" for purpose, seed in sorted(lineage.seeds.items()))
        facts.append(("seeds", listed))
    return facts


def _lineage(store: AtlasStore) -> Lineage | None:
    """Of the first file that has one, in the order of the pipeline."""
    for artifact, setting in _present(store):
        record = store.provenance(artifact.key, setting)
        if record is not None and record.lineage is not None:
            return record.lineage
    return None


def _figures(store: AtlasStore) -> tuple[Plate, ...]:
    plates = []
    for key, title in _TITLES.items():
        if store.exists(key):
            drawing: Drawing = store.read(key, part=PNG)
            width, height = drawing.size
            explanation = ARTIFACTS[key].description.removesuffix(FORMS).strip()
            words = drawing.description or explanation
            plates.append(Plate(key, title, explanation, words, drawing.png, width, height))
    return tuple(plates)


def _analyses(store: AtlasStore) -> tuple[Section, ...]:
    read = _Reader(store)
    sections = (_fractions(read), _sizes(read), _entanglement(read), _similarity(read))
    return tuple(section for section in sections if section.tables)


def _fractions(read: _Reader) -> Section:
    keywords = read.value("token_independence_no_keyword")
    return Section(
        "fractions",
        "Concept and token",
        "With A the universal mask of a concept and B the mask of its keyword alone, the concept "
        "fraction is |A∖B| / |A| and the token fraction |A∩B| / |A|, 0 where A is empty."
        + (f" {tables.no_keyword(keywords)}" if keywords is not None else ""),
        read.tables(
            ("summary", tables.sweep),
            (("target_checker", REFERENCE), tables.decomposition),
            ("token_independence_summary", tables.token_independence),
        ),
    )


def _sizes(read: _Reader) -> Section:
    return Section(
        "sizes",
        "Size and robustness",
        "A universal mask is the intersection of all pair masks of a concept. How it shrinks as "
        "pairs are added says whether it would survive yet another.",
        read.tables(
            ("layer_profile", tables.profile),
            ("marginalisation_robustness", tables.marginalisation),
        ),
    )


def _entanglement(read: _Reader) -> Section:
    return Section(
        "entanglement",
        "Entanglement of pairs",
        "E_I = |P ∖ (A ∪ B)| / |P|, with P a pair's mask, A and B the universal masks of its two "
        "concepts: the share of a pair's circuit that neither concept explains.",
        read.tables(
            ("compositionality", tables.entanglement),
            ("compositionality", tables.entangled_pairs),
        ),
    )


def _similarity(read: _Reader) -> Section:
    null = read.value("modularity_null")
    return Section(
        "similarity",
        "Similarity and modularity",
        "Jaccard similarity of two masks is |A∩B| / |A∪B|, 0 where both are empty.",
        read.tables(
            ("jaccard_matrices", tables.similarity),
            ("jaccard_matrices", tables.most_similar),
            ("modularity_scores", lambda scores: tables.modularity(scores, null)),
        ),
    )


class _Reader:
    """Reads artifacts that may be absent."""

    def __init__(self, store: AtlasStore) -> None:
        self._store = store

    def value(self, key: str, setting: Setting | None = None) -> Any | None:
        """The artifact, or ``None`` where it is not there."""
        return self._store.read(key, setting) if self._store.exists(key, setting) else None

    def tables(
        self, *wanted: tuple[str | tuple[str, Setting], Callable[[Any], Table]]
    ) -> tuple[Table, ...]:
        """The tables whose artifacts are there."""
        found = []
        for source, make in wanted:
            key, setting = (source, None) if isinstance(source, str) else source
            value = self.value(key, setting)
            if value is not None:
                found.append(_at(make(value), setting or self.setting_of(key)))
        return tuple(found)

    def setting_of(self, key: str) -> Setting | None:
        """The only setting that an artifact speaks of, where there is one."""
        if key.startswith("token_independence"):
            key = "token_checker_masks"
        record = self._store.provenance(key) if self._store.exists(key) else None
        if record is None or record.setting is None:
            return ARTIFACTS[key].setting
        return Setting(record.setting.epsilon, record.setting.consistency)


def _at(found: Table, setting: Setting | None) -> Table:
    """The table, its caption naming the setting."""
    return replace(found, caption=f"{found.caption}, at {setting}") if setting else found


def _provenance(store: AtlasStore) -> Section:
    rows = [_file_row(store, artifact, setting) for artifact, setting in _present(store)]
    return Section(
        "provenance",
        "Where the files come from",
        "Every file records what it was made from; the digest is of its content, whatever its "
        "encoding. Origin release: from the paper's frozen files, which carry no record.",
        (
            table(
                "Files of the atlas",
                ["file", "artifact", "origin", "code version", "content", "made from"],
                rows,
                folded=True,
            ),
            table("Libraries", ["library", "version"], sorted(_libraries(store).items())),
        ),
    )


def _file_row(store: AtlasStore, artifact: Artifact, setting: Setting | None) -> list[str]:
    record = store.provenance(artifact.key, setting)
    name = artifact.file_name(setting)
    if record is None:
        return [name, artifact.key, "release", "–", "–", "–"]
    inputs = ", ".join(sorted(record.inputs)) or "–"
    digest = record.payload_sha256[:_DIGITS]
    return [name, artifact.key, record.origin, record.code_version, digest, inputs]


def _libraries(store: AtlasStore) -> dict[str, str]:
    """Library → version, or versions, that took part."""
    found: dict[str, set[str]] = {}
    for artifact, setting in _present(store):
        record: Provenance | None = store.provenance(artifact.key, setting)
        for library, version in (record.versions if record else {}).items():
            found.setdefault(library, set()).add(version)
    return {library: ", ".join(sorted(versions)) for library, versions in found.items()}


def _present(store: AtlasStore) -> list[tuple[Artifact, Setting | None]]:
    """What there is, without the reports themselves."""
    return [cell for cell in _cells(store) if store.exists(cell[0].key, cell[1])]


def _missing(store: AtlasStore) -> list[str]:
    absent = [cell for cell in _cells(store) if not store.exists(cell[0].key, cell[1])]
    return [artifact.file_name(setting) for artifact, setting in absent]


def _cells(store: AtlasStore) -> list[tuple[Artifact, Setting | None]]:
    return [
        (artifact, setting)
        for artifact in ARTIFACTS.values()
        if artifact.group != "stage_17_report"
        for setting in (store.sweep if artifact.partitioned else (None,))
    ]
