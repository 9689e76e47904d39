"""An atlas opened for reading or for building, without Dagster and without running its model."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from upath import UPath

from atlas_assets.atlas.model import AtlasModel
from atlas_assets.atlas.series import require_one_model
from atlas_assets.atlas.versions import folder_in_force, folder_to_build, known, known_sha
from atlas_assets.errors import (
    ArtifactError,
    MissingArtifactError,
    ModelError,
    StimulusError,
    UnreadableArtifactError,
)
from atlas_assets.files.locations import explained, is_folder
from atlas_assets.files.remote import folder_at, is_remote
from atlas_assets.hub_client.repository import is_full_sha
from atlas_assets.models.identity import ModelIdentity
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.subject import grid_of, is_about_own_prompts
from atlas_assets.stages.artifact import Needs, Parameters
from atlas_assets.stages.catalog import (
    ON_DEMAND,
    artifact_of_file,
    definitions_of,
    not_applicable,
)
from atlas_assets.stages.circuits.artifacts import OWN
from atlas_assets.stages.prompts.inventory import Published, inventory_of
from atlas_assets.stages.setting import Definition, Partition, Setting
from atlas_assets.storage.folder import file_names, partitions_present, settings_present
from atlas_assets.storage.provenance import Grid, Lineage
from atlas_assets.storage.store import AtlasStore

_log = logging.getLogger(__name__)


def open_in_force(settings: AtlasSettings) -> AtlasStore:
    """Return the atlas of these settings; its files must not contradict them.

    Where the model is followed, it is the version in force (`atlas_assets.atlas.versions`). The
    model is compared by name and not by its digests: reading masks needs no model.
    """

    def lineage() -> Lineage:
        return Lineage(
            model=ModelIdentity(model_id=_named(settings).model_id),
            readout=settings.readout,
            site=settings.site,
            dtype=settings.dtype,
            bos=None if settings.bos == "auto" else settings.bos,
            mlp=settings.mlp,
            grid=grid_of(settings),
        )

    return store_of(settings, folder_in_force(settings), lineage)


def open_with_model(settings: AtlasSettings) -> AtlasStore:
    """Return the atlas of `open_in_force`, compared by the model's digests too if it is here."""
    pin = known(settings)
    model = AtlasModel(settings, ask_hub=False, sha=pin.in_force.sha if pin else None)
    return store_of(settings, folder_in_force(settings), expected_lineage(settings, model))


def open_to_build(settings: AtlasSettings) -> tuple[AtlasStore, AtlasModel]:
    """Return the atlas that runs work on, the latest version that has been seen, and its model."""
    model = AtlasModel(settings, sha=known_sha(settings))
    return store_of(settings, folder_to_build(settings), expected_lineage(settings, model)), model


def expected_lineage(settings: AtlasSettings, model: AtlasModel) -> Callable[[], Lineage]:
    """A function that says what every file must be about; it resolves the model when first called.

    Where the model cannot be had (offline, not downloaded), files are compared by the settings
    alone and the log says so: masks fetched from elsewhere need no model. So it is with the file
    of own prompts.
    """

    @cache
    def lineage() -> Lineage:
        identity, threshold, bos = _named(settings), settings.loss_threshold, None
        try:
            identity, threshold, bos = model.identity, model.loss_threshold, model.bos
        except ModelError as error:
            what = "the model cannot be read, so its digests are not compared"
            _log.warning("%s: %s", what, error.what)
        grid = grid_of(settings)
        try:
            grid = grid_in_force(settings)
        except StimulusError as error:
            what = "the own prompts cannot be read, so their digest is not compared"
            _log.warning("%s: %s", what, error.what)
        return Lineage(
            model=identity,
            readout=settings.readout,
            site=settings.site,
            dtype=settings.dtype,
            bos=bos,
            mlp=settings.mlp,
            grid=grid.model_copy(update={"loss_threshold": threshold}),
            seeds={} if settings.stimuli else Published().seeds,
        )

    return lineage


def grid_in_force(settings: AtlasSettings) -> Grid:
    """Return how the settings cut the grid of prompts, with the digest of own ones.

    Raises StimulusError where the file of own prompts cannot be used.
    """
    digest = inventory_of(settings).sha256
    return grid_of(settings).model_copy(update={"stimuli_sha256": digest})


def open_folder(folder: str | Path | UPath) -> AtlasStore:
    """Return any atlas, the paper's release included, whatever the settings in force.

    The folder is a path, or the URL of a folder on a filesystem that fsspec knows. Raises
    MissingArtifactError where there is no such folder.
    """
    root = folder_at(folder)
    require_folder(root)
    sweep = _sweep_of(root)
    parameters: Parameters = {
        "epsilons": tuple(sorted({setting.epsilon for setting in sweep})),
        "consistencies": tuple(sorted({setting.consistency for setting in sweep})),
    }
    present = partitions_present(root, "circuits")
    definitions = tuple(sorted(found for found in present if isinstance(found, Definition)))
    return AtlasStore(root, Lineage, sweep, parameters if sweep else {}, definitions)


def require_folder(root: UPath) -> None:
    """Raise MissingArtifactError where there is no such folder.

    It is an UnreadableArtifactError where the system does not let that be seen.
    """
    with explained(root):
        if is_folder(root):
            return
        is_file = root.exists()
        beside = "" if is_file else _told(_atlases_in(root.parent), "but beside it")
    raise MissingArtifactError(
        "there is no atlas",
        where=str(root),
        expected="a folder with the files of an atlas",
        found="a file" if is_file else f"nothing at that path{beside}",
        remedy="correct the path, or ATLAS_DATA_DIR and ATLAS_NAME; `atlas build` builds one, "
        "`atlas fetch` fetches one",
    )


def require_atlas(folder: UPath) -> None:
    """Raise MissingArtifactError where there is no folder, or no file of an atlas in it."""
    require_folder(folder)
    if any(map(artifact_of_file, file_names(folder))):
        return
    atlases = _atlases_in(folder)
    raise MissingArtifactError(
        "the folder is no atlas",
        where=str(folder),
        expected="a folder with the files of an atlas, by their published names",
        found=f"no file of an atlas{_told(atlases, 'but')}",
        remedy=f"name one of those, as {folder / atlases[0]}" if atlases else "correct the path",
    )


def _atlases_in(folder: UPath) -> list[str]:
    """The names of the folders in a folder on this machine that hold an atlas, sorted."""
    if is_remote(folder) or not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if _holds_an_atlas(path))


def _told(atlases: list[str], where: str) -> str:
    """The end of a sentence that names atlases; nothing where there are none."""
    what = "the atlas" if len(atlases) == 1 else "the atlases"
    return f", {where} {what} {', '.join(atlases)}" if atlases else ""


def _holds_an_atlas(path: UPath) -> bool:
    with suppress(OSError, UnreadableArtifactError):  # it may not be looked into
        return path.is_dir() and any(map(artifact_of_file, file_names(path)))
    return False


def require_file(store: AtlasStore, key: str, setting: Partition | None = None) -> None:
    """Raise MissingArtifactError where an artifact is not there, naming the settings that are.

    The store's own refusal names the command that makes the artifact; this one is for whoever
    looks at an atlas, who may as well look at another setting.
    """
    if store.exists(key, setting):
        return
    _require_applicable(store, key)
    there = "; ".join(map(str, partitions_present(store.root, key))) if setting else ""
    make = "make it with `atlas build` (where the atlas is fetched: `atlas fetch`)"
    if key in ON_DEMAND:
        make = (
            f"make it with `dagster asset materialize -m atlas_assets.definitions --select {key}`"
        )
    if there and isinstance(setting, Setting):
        at = f"--epsilon {setting.epsilon} --consistency {setting.consistency}"
        make = f"compute this one (`atlas sweep {at} --write`)"
    if setting == Definition(OWN):
        make = "name a file of your own ones (ATLAS_CIRCUITS, or circuits= of atlas_assets.build), "
        make += "then build the atlas"
    raise MissingArtifactError(
        f"the atlas has no {key}" + (f" at {setting}" if setting else ""),
        where=str(store.path(key, setting)),
        expected="a file of that name",
        found=f"the {'settings' if isinstance(setting, Setting) else 'definitions'} {there}"
        if there
        else f"none{_elsewhere(store.root)}",
        remedy=f"{'ask for one of those, ' if there else ''}{make}, or look into another folder "
        "(data_root=, or ATLAS_DATA_DIR and ATLAS_NAME)",
    )


def _elsewhere(root: UPath) -> str:
    """The other atlases beside a folder in which there is no file of one."""
    with suppress(OSError, UnreadableArtifactError):
        if not (is_folder(root) and _holds_an_atlas(root)):
            return _told(_atlases_in(root.parent), "but beside it")
    return ""


def _require_applicable(store: AtlasStore, key: str) -> None:
    """Refuse to look for what no own prompts have, in an atlas of such."""
    reason = not_applicable({*Needs} - {Needs.PROMPTS, Needs.CHECKERS}).get(key)
    if reason is not None and is_about_own_prompts(store, None):
        raise MissingArtifactError(
            f"{key} is {reason}",
            where=str(store.root),
            expected="an atlas of the paper's prompts",
            found="one of own prompts",
            remedy="look into another folder (data_root=, or ATLAS_DATA_DIR and ATLAS_NAME)",
        )


def _sweep_of(root: UPath) -> tuple[Setting, ...]:
    """The settings that the folder's summary speaks of; without it, those of its object masks."""
    try:
        summary = AtlasStore(root, Lineage).read("summary")
        rows = summary.select("epsilon", "consistency").rows()
    except ArtifactError:
        return settings_present(root, "object_masks")
    return tuple(sorted(Setting(epsilon, consistency) for epsilon, consistency in rows))


def store_of(settings: AtlasSettings, folder: UPath, expected: Callable[[], Lineage]) -> AtlasStore:
    """Return the atlas in a folder, with the sweep and the definitions of these settings."""
    require_one_model(settings)
    sweep, definitions = settings.sweep, definitions_of(settings)
    work = settings.work_folder
    return AtlasStore(folder, expected, sweep, settings.parameters, definitions, work)


def _named(settings: AtlasSettings) -> ModelIdentity:
    """What the settings alone say of the model; of a folder, there or not, its name."""
    folder, revision = Path(settings.model).expanduser(), settings.model_revision
    name = folder.name if settings.model.startswith(("/", ".", "~")) else settings.model
    return ModelIdentity(
        model_id=folder.resolve().name if folder.is_dir() else name,
        # a branch or tag is no commit: only the Hub knows which one it means
        revision=revision if is_full_sha(revision) else None,
    )
