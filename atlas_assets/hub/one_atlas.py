"""Whether published files belong into a folder: files of two atlases never mix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from atlas_assets.errors import ArtifactError, ProvenanceError
from atlas_assets.hub.source import PublishedFile, Source
from atlas_assets.stages.catalog import ARTIFACTS, artifact_of_file
from atlas_assets.storage import source_record
from atlas_assets.storage.codecs import codec_of
from atlas_assets.storage.folder import file_names
from atlas_assets.storage.provenance import (
    Contradiction,
    Lineage,
    Provenance,
    contradictions,
    is_of_another_atlas,
    spelled,
    variable,
)
from atlas_assets.storage.store import AtlasStore


@dataclass(frozen=True)
class Present:
    """A file in the folder that says what it is about.

    Attributes:
        name: of the file.
        lineage: what it is about.
        stays: whether none of the chosen files takes its place.
    """

    name: str
    lineage: Lineage
    stays: bool


@dataclass(frozen=True)
class Destination:
    """A folder, as far as it says what comes to lie in it.

    Attributes:
        source: where the files come from.
        root: the folder.
        expected: what the settings in force say of every file; nothing, of a folder that they do
            not speak of.
        present: files of such a folder, which then say it.
    """

    source: Source
    root: str
    expected: Lineage
    present: tuple[Present, ...] = ()

    def require(self, files: Sequence[PublishedFile], lineage: Lineage) -> None:
        """Refuses published files that are about something else.

        Raises:
            ProvenanceError: names each contradicting field, both values, and what to set.
        """
        found = contradictions(lineage, self.expected)
        if found:
            raise self._of_other_settings(files, found)
        for there in self.present:
            found = contradictions(lineage, there.lineage)
            # a newer state of the same model does replace an older one
            if found and (there.stays or is_of_another_atlas(found)):
                raise self._among_others(files, there, found)

    def _of_other_settings(
        self, files: Sequence[PublishedFile], found: Sequence[Contradiction]
    ) -> ProvenanceError:
        return ProvenanceError(
            "the published files are of another atlas than the settings in force",
            where=f"{self.source}: {_listed(files)}",
            expected="; ".join(f"{field} = {spelled(wanted)}" for field, _, wanted in found),
            found="; ".join(f"{field} = {spelled(was)}" for field, was, _ in found),
            remedy=f"{_to_set(found)}put them into another folder: `atlas fetch --into FOLDER`",
        )

    def _among_others(
        self, files: Sequence[PublishedFile], there: Present, found: Sequence[Contradiction]
    ) -> ProvenanceError:
        return ProvenanceError(
            "the published files would mix with those of another atlas",
            where=f"{self.root}: {there.name}",
            expected="; ".join(f"{field} = {spelled(wanted)}" for field, _, wanted in found),
            found="; ".join(f"{field} = {spelled(was)}" for field, was, _ in found)
            + f", in {self.source}: {_listed(files)}",
            remedy="choose another folder for --into, or remove the files that are there",
        )


def destination(
    source: Source, store: AtlasStore, chosen: Sequence[PublishedFile], *, overwrite: bool
) -> Destination:
    """The folder that chosen files are to lie in; what the manifest says of them is held to it.

    Nothing is downloaded. Where there is no manifest, the files say themselves what they are about,
    once they are here.

    Raises:
        ProvenanceError: they are of another atlas than the settings in force, or than the folder.
    """
    _require_same_origin(store, chosen)
    if not chosen:
        return Destination(source, str(store.root), Lineage())
    expected = store.expected()
    present = _present(store, chosen, overwrite) if expected == Lineage() else ()
    folder = Destination(source, str(store.root), expected, tuple(present))
    told: dict[str, tuple[Lineage, list[PublishedFile]]] = {}
    for file in chosen:
        said = _said_of(file)
        if said is not None and said.lineage is not None:
            key = said.lineage.model_dump_json()
            told.setdefault(key, (said.lineage, []))[1].append(file)
    for lineage, files in told.values():
        folder.require(files, lineage)
    return folder


def _said_of(file: PublishedFile) -> Provenance | None:
    """What the manifest says of the file's making, if it speaks of the content that is there."""
    record, part = file.record, file.files[0]
    if record is None:
        return None
    same = record.sha256 == part.sha256 if part.sha256 else record.blob_id == part.blob_id
    return record.provenance if same else None


def _present(
    store: AtlasStore, chosen: Sequence[PublishedFile], overwrite: bool
) -> Iterator[Present]:
    replaced = {file.name for file in chosen}
    for name in file_names(store.root):
        recognised = artifact_of_file(name)
        if recognised is None:
            continue
        path = store.root / name
        try:
            stored = codec_of(recognised[0]).provenance(path)
            fetched = source_record.read(path) is not None
        except ArtifactError:
            continue  # damaged: it says nothing, and is in nobody's way
        if stored is not None and stored.lineage is not None:
            stays = name not in replaced or not (overwrite or fetched)
            yield Present(name, stored.lineage, stays)


def _require_same_origin(store: AtlasStore, chosen: Iterable[PublishedFile]) -> None:
    """Refuses to mix files of the release, of which nothing is known, with those of a model."""
    if all(file.record is not None and file.record.provenance is not None for file in chosen):
        return
    for key, artifact in ARTIFACTS.items():
        if not artifact.runs_model or not store.exists(key):
            continue
        stored = store.provenance(key)
        if stored is None or source_record.noted(store.path(key)) is not None:
            continue
        model = stored.lineage.model.model_id if stored.lineage and stored.lineage.model else None
        raise ProvenanceError(
            "the published files would mix with an atlas that was computed here",
            where=str(store.root),
            expected="a folder without files that a model was run for",
            found=f"{artifact.filename}, made with {model or 'a model'}",
            remedy="set ATLAS_HUB_SOURCE (the atlas then lies in a folder of its own), or another "
            "ATLAS_NAME, or --into",
        )


def _listed(files: Sequence[PublishedFile]) -> str:
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return files[0].files[0].path + more


def _to_set(found: Sequence[Contradiction]) -> str:
    """The variables that make the published atlas the one in force; empty if none does."""
    assigned = {variable(field): was for field, was, _ in found if variable(field)}
    given = [f"{name}={_as_variable(was)}" for name, was in assigned.items() if was is not None]
    unset = [str(name) for name, was in assigned.items() if was is None]
    steps = [f"set {' '.join(given)}"] if given else []
    steps += [f"unset {' '.join(unset)}"] if unset else []
    return f"{' and '.join(steps)}; or " if steps else ""


def _as_variable(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
