"""One atlas on disk, opened for reading without Dagster and without running its model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from upath import UPath

from atlas_assets.atlas.lineage import expected_lineage
from atlas_assets.atlas.model import AtlasModel
from atlas_assets.atlas.versions import folder_in_force, folder_to_build, known, known_sha
from atlas_assets.errors import ArtifactError, MissingArtifactError
from atlas_assets.models.identity import ModelIdentity
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.artifact import Parameters
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.folder import settings_present
from atlas_assets.storage.provenance import Grid, Lineage
from atlas_assets.storage.store import AtlasStore

__all__ = [
    "folder_in_force",
    "open_folder",
    "open_in_force",
    "open_to_build",
    "open_with_model",
    "require_file",
    "require_folder",
]


def open_in_force(settings: AtlasSettings) -> AtlasStore:
    """The atlas of these settings; its files must not contradict them.

    Of a model that is followed, it is the version that has passed its checks
    (`atlas_assets.atlas.versions`). The model is compared by name and not by its digests: reading
    masks needs no model.
    """
    return AtlasStore(
        folder_in_force(settings),
        lambda: _lineage_by_name(settings),
        settings.sweep,
        settings.parameters,
    )


def open_with_model(settings: AtlasSettings) -> AtlasStore:
    """As `open_in_force`, and the digests of the model are compared if it is on this machine."""
    pin = known(settings)
    model = AtlasModel(settings, ask_hub=False, sha=pin.in_force.sha if pin else None)
    return _store(settings, expected_lineage(settings, model))


def open_to_build(settings: AtlasSettings) -> tuple[AtlasStore, AtlasModel]:
    """The atlas that runs work on, and its model: the latest version that has been seen."""
    model = AtlasModel(settings, sha=known_sha(settings))
    folder = folder_to_build(settings)
    lineage = expected_lineage(settings, model)
    return AtlasStore(folder, lineage, settings.sweep, settings.parameters), model


def open_folder(folder: str | Path | UPath) -> AtlasStore:
    """Any atlas, the paper's release included, whatever the settings in force.

    Args:
        folder: a path, or the URL of a folder on a filesystem that fsspec knows.

    Raises:
        MissingArtifactError: there is no such folder.
    """
    root = UPath(folder).absolute()
    require_folder(root)
    sweep = _sweep_of(root)
    parameters: Parameters = {
        "epsilons": tuple(sorted({setting.epsilon for setting in sweep})),
        "consistencies": tuple(sorted({setting.consistency for setting in sweep})),
    }
    return AtlasStore(root, Lineage, sweep, parameters if sweep else {})


def require_folder(root: UPath) -> None:
    """Refuses a folder that is not there.

    Raises:
        MissingArtifactError: there is no such folder.
    """
    if not root.is_dir():
        raise MissingArtifactError(
            "there is no atlas",
            where=str(root),
            expected="a folder with the files of an atlas",
            found="a file" if root.exists() else "nothing at that path",
            remedy="correct the path, or ATLAS_DATA_DIR and ATLAS_NAME; `make atlas` builds one",
        )


def require_file(store: AtlasStore, key: str, setting: Setting | None = None) -> None:
    """Refuses an artifact that is not there, naming the settings that are.

    The store's own refusal names the command that makes the artifact; this one is for whoever
    looks at an atlas, who may as well look at another setting.

    Raises:
        MissingArtifactError: there is no such file.
    """
    if store.exists(key, setting):
        return
    there = "; ".join(map(str, settings_present(store.root, key))) if setting else ""
    make = f"materialise {key}"
    if setting:
        make = "compute this one (`atlas sweep --write`)"
    raise MissingArtifactError(
        f"the atlas has no {key}" + (f" at {setting}" if setting else ""),
        where=str(store.path(key, setting)),
        expected="a file of that name",
        found=f"the settings {there}" if there else "none",
        remedy=f"{'ask for one of those, ' if there else ''}{make}, or look into another folder "
        "(data_root=, or ATLAS_DATA_DIR and ATLAS_NAME)",
    )


def _sweep_of(root: UPath) -> tuple[Setting, ...]:
    """The settings that the folder's summary speaks of: there may be files of others beside them.

    Without a legible summary, those of its object masks.
    """
    summary = AtlasStore(root, Lineage)
    try:
        rows = summary.read("summary").select("epsilon", "consistency").rows()
    except ArtifactError:
        return settings_present(root, "object_masks")
    return tuple(sorted(Setting(epsilon, consistency) for epsilon, consistency in rows))


def _store(settings: AtlasSettings, expected: Callable[[], Lineage]) -> AtlasStore:
    folder = folder_in_force(settings)
    return AtlasStore(folder, expected, settings.sweep, settings.parameters)


def _lineage_by_name(settings: AtlasSettings) -> Lineage:
    # a revision may be a branch, of which only the Hub knows which commit it means
    folder = Path(settings.model).expanduser()
    model_id = folder.resolve().name if folder.is_dir() else settings.model
    return Lineage(
        model=ModelIdentity(model_id=model_id),
        readout=settings.readout,
        dtype=settings.dtype,
        grid=Grid(
            ast_nodes=settings.ast_nodes,
            builtins=settings.builtins,
            variations=settings.variations,
            loss_threshold=settings.loss_threshold,
        ),
    )
