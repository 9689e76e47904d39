"""What is looked at before an atlas is built, so that what cannot be built is refused at once."""

from __future__ import annotations

import tempfile

from atlas_assets.atlas.series import checkpoints
from atlas_assets.errors import SettingsError
from atlas_assets.files import atomic
from atlas_assets.files.locations import local_path
from atlas_assets.files.remote import folder_at
from atlas_assets.models import checkpoint_files
from atlas_assets.models.sources import EMBEDDED, local_folder
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.own_files import require_own_files


def require_buildable(settings: AtlasSettings) -> None:
    """Refuse, before any work is done, settings of which no atlas can be built.

    Raises:
        SettingsError, StimulusError, ArtifactError: a file of the user's own cannot be used
            (`require_own_files`).
        SettingsError: there is no such device, or the atlas is one to be fetched.
        ModelError: no model can have the name given, or its folder lacks a file.
        ArtifactWriteError: the folder of the atlases cannot be written to.
    """
    if settings.hub_source is not None and settings.model == EMBEDDED:
        raise SettingsError(
            "the atlas in force is one to be fetched, and not of the embedded model",
            where="hub_source",
            expected="the model that it is of, in ATLAS_MODEL, or no source",
            found=f"{settings.hub_source!r}, and the embedded model",
            remedy="fetch it (`atlas fetch`), or unset ATLAS_HUB_SOURCE to build an atlas",
        )
    require_own_files(settings)
    folder = local_folder(settings.model)
    if folder is not None and not checkpoints(settings):
        checkpoint_files.read_config(folder)
        checkpoint_files.weight_files(folder)
    if settings.device not in ("auto", "cpu"):
        from atlas_assets.models.loading import device_named  # imports torch

        device_named(settings.device)
    _require_writable(settings.data_dir)


def _require_writable(data_dir: str) -> None:
    """Refuse a folder on this machine in which no file can be made."""
    folder = local_path(folder_at(data_dir))
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise atomic.explain(error, folder, None, "the atlas") from error
