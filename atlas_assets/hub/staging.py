"""What is to be published, as a folder of its own that nothing else writes to.

Everything is copied first and judged on the copies: whatever happens to the atlas while it is
published, the files that are uploaded are the ones that were found sound, and belong together.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
from upath import UPath

from atlas_assets.errors import ArtifactError, ArtifactWriteError, AtlasError
from atlas_assets.files.locations import content, local_path
from atlas_assets.hub import viewer
from atlas_assets.hub.layouts import hdf5_layout
from atlas_assets.hub.manifest import ClaimRecord, FileRecord, Manifest, TableRecord, manifest_of
from atlas_assets.hub_client.repository import git_blob_id, sha256
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.checks import checks_of
from atlas_assets.soundness.evaluate import evaluate_claims
from atlas_assets.soundness.gather import facts
from atlas_assets.soundness.inspection import Inspection, MaskReader
from atlas_assets.soundness.subject import Cell, subject_of_atlas
from atlas_assets.stages.artifact import Artifact
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.check import NotComparedError
from atlas_assets.stages.report.claims import ClaimResult
from atlas_assets.stages.setting import Setting, spell
from atlas_assets.storage import sidecar
from atlas_assets.storage.codecs import codec_of
from atlas_assets.storage.folder import settings_present
from atlas_assets.storage.store import AtlasStore

_MISSING = "it is missing"


@dataclass(frozen=True)
class LeftOut:
    """A file that is not published.

    Attributes:
        asset: the artifact.
        partition: ``C|ε`` of a file per setting.
        name: of the file.
        reason: why not.
    """

    asset: str
    partition: str | None
    name: str
    reason: str

    @property
    def present(self) -> bool:
        """Whether the atlas has the file."""
        return self.reason != _MISSING


@dataclass(frozen=True)
class NotCompared:
    """A check of a published file that found nothing to compare it with.

    Attributes:
        name: of the file.
        check: name of the check.
        reason: why nothing was compared.
    """

    name: str
    check: str
    reason: str


@dataclass(frozen=True)
class Stage:
    """What is to be published.

    Attributes:
        folder: holds every file under its path inside the repository.
        manifest: of these files alone.
        left_out: what is not published, and why.
        rows: configuration → digest of all its rows.
        not_compared: checks of published files that compared nothing, and so say nothing of them.
    """

    folder: Path
    manifest: Manifest
    left_out: tuple[LeftOut, ...]
    rows: dict[str, str]
    not_compared: tuple[NotCompared, ...] = ()

    def file(self, path: str) -> Path:
        """Where a published file lies."""
        return self.folder / path


@contextlib.contextmanager
def staged(
    store: AtlasStore, settings: AtlasSettings, cells: Collection[Cell] | None = None
) -> Iterator[Stage]:
    """The publishable files of an atlas, copied; the copies are removed at the end.

    Published is what is there, fresh, and passes every integrity check, at the settings of the
    sweep in force.

    Args:
        store: of the atlas; read, never written.
        settings: what an atlas without a single file would be about.
        cells: only these; ``None``: all.

    Raises:
        ArtifactError: nothing is left to be published, or a folder lies where a file is to lie.
        ArtifactWriteError: there is no room for the copies.
    """
    with tempfile.TemporaryDirectory(prefix="atlas-publish-") as name:
        folder = Path(name)
        with _room(folder):
            _copy_all(store, folder)
        copy = replace(store, root=UPath(folder))
        sound, left_out, not_compared = _judged(copy, cells)
        if cells is None:
            left_out += _off_the_sweep(store)
        _remove_others(copy, sound)
        if not sound:
            raise _nothing(store, left_out)
        with _room(folder):
            records, rows = _records(copy, sound, folder)
        manifest = _manifest(copy, settings, records)
        yield Stage(folder, manifest, tuple(left_out), rows, tuple(not_compared))


def partition_of(setting: Setting | None) -> str | None:
    """``Setting(0.5, 0.8)`` → ``0.8|0.5``, as Dagster names the partition."""
    return f"{spell(setting.consistency)}|{spell(setting.epsilon)}" if setting else None


def cells_of(store: AtlasStore) -> list[Cell]:
    """Every file that the atlas has or should have, in the order of the pipeline."""
    return [
        (key, setting)
        for key, artifact in ARTIFACTS.items()
        for setting in (store.sweep if artifact.partitioned else (None,))
    ]


def _copy_all(store: AtlasStore, folder: Path) -> None:
    # a record is written before its file and an older one removed after it: copied before and
    # after the files, the one of whichever file was copied is among them
    _copy_records(store, folder)
    for key, setting in cells_of(store):
        for file in codec_of(ARTIFACTS[key]).files(store.path(key, setting)):
            with contextlib.suppress(FileNotFoundError):
                _copy(UPath(file), folder / file.name)
    _copy_records(store, folder)


def _copy_records(store: AtlasStore, folder: Path) -> None:
    records = UPath(store.root) / sidecar.FOLDER
    if not records.is_dir():
        return
    (folder / sidecar.FOLDER).mkdir(exist_ok=True)
    for record in records.iterdir():
        if record.suffix == ".json":
            with contextlib.suppress(FileNotFoundError):
                _copy(record, folder / sidecar.FOLDER / record.name)


def _copy(source: UPath, target: Path) -> None:
    local = local_path(source)
    try:
        if local is not None:
            shutil.copyfile(local, target)
        else:
            target.write_bytes(content(source))
    except IsADirectoryError as error:
        raise ArtifactError(
            "cannot copy a file of the atlas to publish it",
            where=str(source),
            expected="a file",
            found="a folder",
            remedy="move the folder out of the atlas, or remove it, and publish again",
        ) from error


def _judged(
    store: AtlasStore, cells: Collection[Cell] | None
) -> tuple[list[Cell], list[LeftOut], list[NotCompared]]:
    sound: list[Cell] = []
    left_out: list[LeftOut] = []
    not_compared: list[NotCompared] = []
    reader = MaskReader()
    for key, setting in cells_of(store):
        if cells is not None and (key, setting) not in cells:
            continue
        name = ARTIFACTS[key].file_name(setting)
        silent: list[NotCompared] = []
        reason = _fault(store, reader, key, setting, silent)
        if reason is None:
            sound.append((key, setting))
            not_compared += silent
        else:
            left_out.append(LeftOut(key, partition_of(setting), name, reason))
    return sound, left_out, not_compared


def _off_the_sweep(store: AtlasStore) -> list[LeftOut]:
    """Files that are there at settings that the sweep does not hold."""
    return [
        LeftOut(key, partition_of(at), artifact.file_name(at), "its setting is not in the sweep")
        for key, artifact in ARTIFACTS.items()
        if artifact.partitioned
        for at in settings_present(UPath(store.root), key)
        if at not in store.sweep
    ]


def _fault(
    store: AtlasStore,
    reader: MaskReader,
    key: str,
    setting: Setting | None,
    silent: list[NotCompared],
) -> str | None:
    """Why a file is not to be published; ``None`` for a sound one.

    Checks that compared nothing are appended to ``silent``.
    """
    if not store.exists(key, setting):
        return _MISSING
    try:
        reason = store.stale_reason(key, setting)
        if reason is not None:
            return f"it is stale: {reason}"
        inspection = Inspection(store, reader, key, setting, tuple(store.sweep))
        for check in checks_of(key):
            try:
                check.verify(inspection)
            except NotComparedError as error:
                told = error.what.replace(f"{store.root}/", "")
                name = ARTIFACTS[key].file_name(setting)
                silent.append(NotCompared(name, check.name, told))
    except AtlasError as error:
        found = f", found {error.found}" if error.found else ""
        return f"it is not sound: {error.what}{found}".replace(f"{store.root}/", "")
    return None


def _remove_others(store: AtlasStore, sound: Collection[Cell]) -> None:
    """Leaves only what is published, so that claims are evaluated on nothing else."""
    for key, setting in cells_of(store):
        if (key, setting) not in sound:
            for file in codec_of(ARTIFACTS[key]).files(store.path(key, setting)):
                Path(str(file)).unlink(missing_ok=True)


def _records(
    store: AtlasStore, sound: Collection[Cell], folder: Path
) -> tuple[list[FileRecord], dict[str, str]]:
    """The files, those for the viewer made on the way, and the digests of the tables' rows."""
    records = []
    rows: dict[str, viewer.RowsDigest] = {}
    for key, setting in sound:
        artifact = ARTIFACTS[key]
        table = None
        frame = viewer.frame_of(store.read(key, setting), setting) if artifact.schema else None
        # datasets cannot load a split without rows
        if frame is not None and not frame.is_empty():
            rows.setdefault(key, viewer.RowsDigest()).add(frame.iter_rows())
            table = viewer.table_record(artifact, frame)
            if artifact.kind != "parquet":
                records.append(_viewer_record(folder, artifact, setting, frame, table))
                table = None
        records += _own_records(store, artifact, setting, table)
    return records, {key: digest.hex for key, digest in rows.items()}


def _own_records(
    store: AtlasStore, artifact: Artifact, setting: Setting | None, table: TableRecord | None
) -> list[FileRecord]:
    path = store.path(artifact.key, setting)
    found = []
    for number, file in enumerate(codec_of(artifact).files(path)):
        local = Path(str(file))
        layout = hdf5_layout(local) if artifact.kind == "hdf5" else ()
        found.append(
            _record(
                local,
                file.name,
                artifact.key,
                setting,
                provenance=store.provenance(artifact.key, setting),
                table=table if number == 0 else None,
                layout=layout,
            )
        )
    return found


def _viewer_record(
    folder: Path,
    artifact: Artifact,
    setting: Setting | None,
    frame: pl.DataFrame,
    table: TableRecord,
) -> FileRecord:
    path = viewer.path_of(artifact, setting)
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(viewer.parquet_of(frame))
    made_from = artifact.file_name(setting)
    return _record(file, path, artifact.key, setting, made_from=made_from, table=table)


def _record(
    file: Path, path: str, asset: str, setting: Setting | None, **told: object
) -> FileRecord:
    return FileRecord(
        path=path,
        sha256=sha256(file),
        size=file.stat().st_size,
        blob_id=git_blob_id(file),
        asset=asset,
        partition=partition_of(setting),
        **told,  # type: ignore[arg-type]  # pydantic checks them
    )


def _manifest(store: AtlasStore, settings: AtlasSettings, files: list[FileRecord]) -> Manifest:
    subject = subject_of_atlas(store, settings)
    claims = [_claim(result) for result in evaluate_claims(store, settings)]
    return manifest_of(files, facts(store, subject.model, subject.readout), claims)


def _claim(result: ClaimResult) -> ClaimRecord:
    return ClaimRecord(
        id=result.id,
        section=result.section,
        statement=result.statement,
        setting=result.setting,
        expected=result.expected,
        observed=result.observed,
        verdict=result.verdict,
        model=result.model,
        readout=result.readout,
        sources=result.sources,
    )


@contextlib.contextmanager
def _room(folder: Path) -> Iterator[None]:
    try:
        yield
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


def _nothing(store: AtlasStore, left_out: Collection[LeftOut]) -> ArtifactError:
    found = [f"{file.name}: {file.reason}" for file in left_out if file.present]
    return ArtifactError(
        "there is nothing to publish",
        where=str(store.root),
        expected="at least one file of an atlas that is fresh and passes its checks",
        found="; ".join(found[:3]) or "no file",
        remedy="build the atlas with `make atlas`; `atlas status --verify` says what is wrong",
    )
