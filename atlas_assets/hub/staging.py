"""Copies the files to be published into a folder of their own that nothing else writes to.

Everything is copied first and judged on the copies: whatever happens to the atlas while it is
published, the files that are uploaded are the ones that were found sound, and belong together.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from upath import UPath

from atlas_assets.errors import (
    ArtifactError,
    ArtifactWriteError,
    AtlasError,
    SettingsError,
    expect,
)
from atlas_assets.files import atomic
from atlas_assets.files.locations import content, is_there, local_path, names_in
from atlas_assets.files.steady import read_steadily, require_not_written_to
from atlas_assets.hub import viewer
from atlas_assets.hub.hdf5_layout import hdf5_layout
from atlas_assets.hub.manifest import ClaimRecord, FileRecord, Manifest, manifest_of
from atlas_assets.hub_client.repository import digests_of
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.evaluate import evaluate_claims
from atlas_assets.soundness.gather import facts
from atlas_assets.soundness.inspection import Inspection, MaskReader, checks_of
from atlas_assets.soundness.subject import Cell, subject_of_atlas
from atlas_assets.stages.catalog import ARTIFACTS, NOT_APPLICABLE, ON_DEMAND, skipped_under
from atlas_assets.stages.check import NotApplicableError, NotComparedError
from atlas_assets.stages.setting import DEFINITIONS, SWEEP
from atlas_assets.storage import sidecar
from atlas_assets.storage.codecs import codec_of
from atlas_assets.storage.folder import partitions_present
from atlas_assets.storage.store import AtlasStore

_MISSING = "it is missing"
#: of files that the settings in force leave out, though nothing is wrong with them
_NOT_IN_FORCE = {
    SWEEP: "its setting is not in the sweep",
    DEFINITIONS: "its definition is not in force",
}


@dataclass(frozen=True)
class LeftOut:
    """A file, with its asset and partition (``C|ε``), that is not published, and why."""

    asset: str
    partition: str | None
    name: str
    reason: str

    @property
    def present(self) -> bool:
        """Whether the atlas has the file."""
        return self.reason != _MISSING

    @property
    def unfit(self) -> bool:
        """Whether the file is there and stale or not sound."""
        return self.present and self.reason not in _NOT_IN_FORCE.values()


@dataclass(frozen=True)
class NotCompared:
    """A check of the published file ``name`` that had nothing to compare with, and the reason."""

    name: str
    check: str
    reason: str


@dataclass(frozen=True)
class Stage:
    """The files to be published, with all that is recorded of them.

    Attributes:
        folder: The folder that holds every file under its path inside the repository.
        manifest: The manifest of these files alone.
        rows: configuration → digest of all its rows.
        not_compared: The checks of published files that compared nothing.
    """

    folder: Path
    manifest: Manifest
    left_out: tuple[LeftOut, ...]
    rows: dict[str, str]
    not_compared: tuple[NotCompared, ...]

    def file(self, path: str) -> Path:
        """Return the place of a published file."""
        return self.folder / path


@contextlib.contextmanager
def staged(
    store: AtlasStore, settings: AtlasSettings, cells: Collection[Cell] | None = None
) -> Iterator[Stage]:
    """Copy the publishable files of an atlas; the copies are removed at the end.

    A file is published if it is fresh and passes every integrity check, at the settings of the
    sweep in force; ``cells`` narrows this to the files that it names. The atlas is only read.

    A file that cannot be copied is left out with the reason, and the others are published.

    Raises:
        ArtifactError: nothing can be published.
        ArtifactWriteError: there is no room for the copies.
    """
    with atomic.temporary_folder("atlas-publish-") as folder:
        try:
            stage = _stage(store, settings, cells, folder)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise ArtifactWriteError(
                "there is no room for a copy of what is to be published",
                where=str(folder),
                expected="as much free space as the atlas takes",
                found=error.strerror or str(error),
                remedy="free some space, or set TMPDIR to a folder on another disk",
            ) from error
        yield stage


def cells_of(store: AtlasStore) -> list[Cell]:
    """Return every file that the atlas has or should have, in the order of the pipeline."""
    cells = [(key, at) for key in ARTIFACTS for at in viewer.in_order(store.partitions(key))]
    return [cell for cell in cells if cell[0] not in ON_DEMAND or store.exists(*cell)]


def cells_named(store: AtlasStore, names: Iterable[str], option: str, remedy: str) -> set[Cell]:
    """Return the files that are named for a publication.

    Args:
        names: Published file names, assets (``object_masks``: at every setting of the sweep), and
            partitions of assets (``object_masks|0.8|0.5``).
        option: Where the names were given, for the error.
        remedy: What to do about a name that is unknown.

    Raises:
        SettingsError: the atlas has no file, asset or partition of that name.
    """
    by_name: dict[str, set[Cell]] = {}
    for cell in cells_of(store):
        key, setting = cell
        partition = [f"{key}|{setting.partition_key}"] if setting else []
        for name in (key, *partition, *(file.name for file in _files(store, cell))):
            by_name.setdefault(name, set()).add(cell)
    unknown = [name for name in names if name not in by_name]
    if unknown:
        near = difflib.get_close_matches(unknown[0], by_name, n=3)
        raise SettingsError(
            "the atlas has no such file, asset or partition",
            where=f"{option} {unknown[0]}",
            expected=" or ".join(near) or "a published file name, an asset, or asset|C|ε",
            found=repr(unknown[0]),
            remedy=remedy,
        )
    return {cell for name in names for cell in by_name[name]}


def _stage(
    store: AtlasStore, settings: AtlasSettings, cells: Collection[Cell] | None, folder: Path
) -> Stage:
    sidecars = UPath(store.root) / sidecar.FOLDER
    copy = replace(store, root=UPath(folder))
    refused = {}
    for cell in cells_of(store):
        try:
            _copy_steadily(list(_files(store, cell)), sidecars, folder)
            if copy.exists(*cell):
                codec_of(ARTIFACTS[cell[0]]).settle(copy.path(*cell))
                _require_ours(copy, cell, _files(store, cell))
        except AtlasError as error:
            refused[cell] = _why(store, "it cannot be read", error)
            _remove(copy, cell)
    sound: list[Cell] = []
    left_out: list[LeftOut] = []
    not_compared: list[NotCompared] = []
    reader, skipped = MaskReader(), skipped_under(settings)
    for cell in cells_of(store):
        if cells is not None and cell not in cells:
            continue
        if cell in refused:
            left_out.append(_left_out(cell, refused[cell]))
            continue
        reason, silent = _examined(copy, reader, cell)
        if reason is None:
            sound.append(cell)
            not_compared += silent
        elif not (reason == _MISSING and skipped.get(cell[0], "").startswith(NOT_APPLICABLE)):
            left_out.append(_left_out(cell, reason))
    if cells is None:
        left_out += _not_in_force(store)
    unfit = [f"{file.name}: {file.reason}" for file in left_out if file.present]
    expect(
        bool(sound),
        ArtifactError,
        "there is nothing to publish",
        where=str(store.root),
        expected="at least one file of an atlas that is fresh and passes its checks",
        found="; ".join(unfit[:3]) or "no file",
        remedy="build the atlas with `atlas build`; `atlas status --verify` says what is wrong",
    )
    # claims are evaluated on the published files alone
    for cell in set(cells_of(copy)).difference(sound):
        _remove(copy, cell)
    records, rows = _records(copy, sound, folder)
    subject = subject_of_atlas(copy, settings)
    results = evaluate_claims(copy, settings)
    claims = [ClaimRecord.model_validate(result, from_attributes=True) for result in results]
    manifest = manifest_of(records, facts(copy, subject.model, subject.readout), claims)
    return Stage(folder, manifest, tuple(left_out), rows, tuple(not_compared))


def _files(store: AtlasStore, cell: Cell) -> Iterable[UPath]:
    return (UPath(file) for file in codec_of(ARTIFACTS[cell[0]]).files(store.path(*cell)))


def _remove(copy: AtlasStore, cell: Cell) -> None:
    for file in _files(copy, cell):
        file.unlink(missing_ok=True)


def _require_ours(copy: AtlasStore, cell: Cell, files: Iterable[UPath]) -> None:
    """Refuse a link to a file that no record says is of an atlas: it may be any file of the user's.

    The copies are made by now, so it does not matter if it is no link any more.
    """
    for file in files:
        local = local_path(file)
        expect(
            local is None or not local.is_symlink() or copy.provenance(*cell) is not None,
            ArtifactError,
            "it is a symbolic link to a file without a record of its making",
            where=str(file),
            found="a symbolic link",
            remedy="put the file itself in its place",
        )


def _copy_steadily(files: Sequence[UPath], sidecars: UPath, folder: Path) -> None:
    """Copy the files of one artifact, all of one state, with the records that are about them."""

    def copy_records() -> None:
        names = names_in(sidecars, odd=True)
        about = tuple(f"{file.name}." for file in files)
        told = [name for name in names if name.startswith(about)]
        told = [name for name in told if name.endswith((".json", ".waiting"))]
        _copy([sidecars / name for name in told], folder / sidecar.FOLDER)

    def copy() -> None:
        # a record is written before its file and an older one removed after it: copied before and
        # after the files, the one of whichever file was copied is among them
        copy_records()
        _copy(files, folder)
        copy_records()

    if any(map(is_there, files)):
        require_not_written_to(files)
        read_steadily(files, copy)


def _copy(files: Iterable[UPath], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            (folder / file.name).write_bytes(content(file))


def _examined(
    store: AtlasStore, reader: MaskReader, cell: Cell
) -> tuple[str | None, list[NotCompared]]:
    """Return the reason why a file is not published, if any, and its checks without comparison."""
    key, setting = cell
    silent: list[NotCompared] = []
    if not store.exists(key, setting):
        return _MISSING, silent
    try:
        stale = store.stale_reason(key, setting)
        if stale is not None:
            return f"it is stale: {stale}", silent
        inspection = Inspection(store, reader, key, setting, tuple(store.sweep))
        for check in checks_of(key):
            try:
                check.verify(inspection)
            except NotApplicableError:
                continue
            except NotComparedError as error:
                told = error.what.replace(f"{store.root}/", "")
                name = ARTIFACTS[key].file_name(setting)
                silent.append(NotCompared(name, check.name, told))
    except AtlasError as error:
        return _why(store, "it is not sound", error), silent
    return None, silent


def _why(store: AtlasStore, said: str, error: AtlasError) -> str:
    found = f", found {error.found}" if error.found else ""
    return f"{said}: {error.what}{found}".replace(f"{store.root}/", "")


def _left_out(cell: Cell, reason: str) -> LeftOut:
    key, setting = cell
    partition = setting.partition_key if setting else None
    return LeftOut(key, partition, ARTIFACTS[key].file_name(setting), reason)


def _not_in_force(store: AtlasStore) -> list[LeftOut]:
    return [
        _left_out((key, at), _NOT_IN_FORCE[artifact.partitions])
        for key, artifact in ARTIFACTS.items()
        if artifact.partitions is not None
        for at in partitions_present(UPath(store.root), key)
        if at not in store.partitions(key)
    ]


def _records(
    store: AtlasStore, sound: Collection[Cell], folder: Path
) -> tuple[list[FileRecord], dict[str, str]]:
    """Return the files, those for the viewer made on the way, and the digests of tables' rows."""
    records = []
    rows: dict[str, viewer.RowsDigest] = {}
    for cell in sound:
        key, setting = cell
        artifact = ARTIFACTS[key]
        table = None
        frame = viewer.frame_of(store.read(key, setting), setting) if artifact.schema else None
        # datasets cannot load a split without rows
        if frame is not None and not frame.is_empty():
            rows.setdefault(key, viewer.RowsDigest()).add(frame.iter_rows())
            table = viewer.table_record(artifact, frame)
            path = viewer.path_of(artifact, setting)
            if path != artifact.file_name(setting):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                # equal frames give equal bytes
                frame.write_parquet(folder / path, compression="zstd")
                made_from = artifact.file_name(setting)
                records.append(_record(folder, path, cell, made_from=made_from, table=table))
                table = None
        provenance = store.provenance(key, setting)
        origin = "unknown" if provenance is None and store.origin(*cell) == "unknown" else None
        for file in _files(store, cell):
            layout = hdf5_layout(folder / file.name) if artifact.kind == "hdf5" else ()
            told = {"provenance": provenance, "origin": origin, "table": table, "layout": layout}
            records.append(_record(folder, file.name, cell, **told))
    return records, {key: digest.hex for key, digest in rows.items()}


def _record(folder: Path, path: str, cell: Cell, **told: Any) -> FileRecord:
    key, setting = cell
    data = (folder / path).read_bytes()
    sha256, blob_id = digests_of(data)
    return FileRecord(
        path=path,
        sha256=sha256,
        size=len(data),
        blob_id=blob_id,
        asset=key,
        partition=setting.partition_key if setting else None,
        **told,
    )
