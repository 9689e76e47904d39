"""Checks that published files belong in a folder, so that two atlases never mix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from atlas_assets.errors import DamagedArtifactError, MissingArtifactError, ProvenanceError
from atlas_assets.hub.source import PublishedFile, Source
from atlas_assets.stages.catalog import ARTIFACTS, artifact_of_file
from atlas_assets.storage import provenance, source_record
from atlas_assets.storage.codecs import codec_of
from atlas_assets.storage.folder import file_names
from atlas_assets.storage.provenance import (
    Contradiction,
    Lineage,
    Provenance,
    contradictions,
    spelled,
)
from atlas_assets.storage.store import AtlasStore


@dataclass(frozen=True)
class Destination:
    """A folder, with what is known of the atlas that its files must belong to.

    Attributes:
        store: the atlas in the folder.
        expected: the lineage that the settings in force require; empty for a folder that the
            settings do not describe.
        present: for such a folder, its files: name, lineage, and whether the file stays because
            no chosen file replaces it.
    """

    source: Source
    store: AtlasStore
    expected: Lineage
    present: tuple[tuple[str, Lineage, bool], ...] = ()

    def require(self, files: Sequence[PublishedFile], lineage: Lineage) -> None:
        """Refuse published files that belong to another atlas.

        Raises:
            ProvenanceError: names each field that differs, both values, and the variables to set.
        """
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        published = f"{self.source}: {files[0].files[0].path}{more}"
        found = contradictions(lineage, self.expected)
        if found:
            what = "the published files are of another atlas than the settings in force"
            remedy = f"{_to_set(found)}put them into another folder: `atlas fetch --into FOLDER`"
            raise _contradicted(what, published, found, remedy)
        for name, of_it, stays in self.present:
            found = contradictions(lineage, of_it)
            # a newer state of the same model does replace an older one
            if found and (stays or provenance.is_of_another_atlas(found)):
                what = "the published files would mix with those of another atlas"
                remedy = "choose another folder for --into, or remove the files that are there"
                place = f"{self.store.root}: {name}"
                raise _contradicted(what, place, found, remedy, told_by=f", in {published}")

    def require_still(self, file: PublishedFile, stored: Provenance | None) -> None:
        """Refuse a published file if another atlas has been begun in the folder meanwhile.

        Raises:
            ProvenanceError: the file carries no provenance, or one that contradicts what has been
                computed there.
        """
        for name, made in _computed_here(self.store):
            if stored is None:
                raise _mixed(self.store, name, made)
            if stored.lineage and made.lineage and name != file.name:
                found = contradictions(stored.lineage, made.lineage)
                if provenance.is_of_another_atlas(found):
                    raise _mixed(self.store, name, made)


def destination(
    source: Source, store: AtlasStore, chosen: Sequence[PublishedFile], *, overwrite: bool
) -> Destination:
    """Return the folder for the chosen files, after checking the manifest against it.

    Nothing is downloaded. Without a manifest the files are checked after their download, by the
    provenance that they carry.

    Raises:
        ArtifactError: a file in the folder cannot be read, and is not damaged.
        ProvenanceError: the manifest is of another atlas than the settings in force, or than the
            files in a folder that the settings do not describe; or files of the paper's release
            would mix with files that were computed with a model.
    """
    _require_same_origin(store, chosen)
    expected = store.expected()
    present = _present(store, chosen, overwrite) if expected == Lineage() else ()
    folder = Destination(source, store, expected, tuple(present))
    told: dict[str, tuple[Lineage, list[PublishedFile]]] = {}
    for file in chosen:
        record, lineage = file.record, file.record.lineage if file.record else None
        # the manifest may describe another content than the repository holds now
        if record and lineage and file.files[0].has(record.sha256, record.blob_id):
            told.setdefault(lineage.model_dump_json(), (lineage, []))[1].append(file)
    for lineage, files in told.values():
        folder.require(files, lineage)
    return folder


def _present(
    store: AtlasStore, chosen: Sequence[PublishedFile], overwrite: bool
) -> Iterator[tuple[str, Lineage, bool]]:
    replaced = {file.name for file in chosen}
    for name in file_names(store.root):
        recognised = artifact_of_file(name)
        if recognised is None:
            continue
        path = store.root / name
        try:
            stored = codec_of(recognised[0]).provenance(path)
            fetched = source_record.read(path) is not None
        except (DamagedArtifactError, MissingArtifactError):
            continue  # the atlas of a damaged file is not known
        if stored is not None and stored.lineage is not None:
            stays = name not in replaced or not (overwrite or fetched)
            yield name, stored.lineage, stays


def _require_same_origin(store: AtlasStore, chosen: Sequence[PublishedFile]) -> None:
    """Refuse to mix files of the release, which carry no provenance, with computed files."""
    if all(file.record is not None and file.record.provenance is not None for file in chosen):
        return
    for name, made in _computed_here(store):
        raise _mixed(store, name, made)


def _computed_here(store: AtlasStore) -> Iterator[tuple[str, Provenance]]:
    """Yield name and provenance of the files that a model was run for, and not elsewhere."""
    for key, artifact in ARTIFACTS.items():
        if artifact.runs_model and store.exists(key):
            made = store.provenance(key)
            if made is not None and source_record.noted(store.path(key)) is None:
                yield artifact.filename, made


def _mixed(store: AtlasStore, name: str, made: Provenance) -> ProvenanceError:
    model = made.lineage.model.model_id if made.lineage and made.lineage.model else None
    return ProvenanceError(
        "the published files would mix with an atlas that was computed here",
        where=str(store.root),
        expected="a folder without files that a model was run for",
        found=f"{name}, made with {model or 'a model'}",
        remedy="set ATLAS_HUB_SOURCE (the atlas then lies in a folder of its own), or another "
        "ATLAS_NAME, or --into",
    )


def _contradicted(
    what: str, where: str, found: Sequence[Contradiction], remedy: str, told_by: str = ""
) -> ProvenanceError:
    wanted = "; ".join(f"{field} = {spelled(value)}" for field, _, value in found)
    was = "; ".join(f"{field} = {spelled(value)}" for field, value, _ in found) + told_by
    return ProvenanceError(what, where=where, expected=wanted, found=was, remedy=remedy)


def _to_set(found: Sequence[Contradiction]) -> str:
    """Return the first part of a remedy: the variables to set, or nothing if none would help."""
    assigned = {name: was for field, was, _ in found if (name := provenance.variable(field))}
    given = [f"{name}={_as_variable(was)}" for name, was in assigned.items() if was is not None]
    unset = [name for name, was in assigned.items() if was is None]
    steps = [f"set {' '.join(given)}"] if given else []
    steps += [f"unset {' '.join(unset)}"] if unset else []
    return f"{' and '.join(steps)}; or " if steps else ""


def _as_variable(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
