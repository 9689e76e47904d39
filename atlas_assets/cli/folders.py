"""Find the folder of an atlas from the path or the name that a user typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upath import UPath


def named_atlas(typed: str) -> UPath:
    """The folder of an atlas: at the path typed, or of that name under ATLAS_DATA_DIR.

    Raises:
        MissingArtifactError: there is no such folder, or no file of an atlas in it.
    """
    from atlas_assets.atlas.open import require_folder
    from atlas_assets.errors import MissingArtifactError, expect
    from atlas_assets.stages.catalog import artifact_of_file
    from atlas_assets.storage.folder import file_names

    folder = _folder(typed)
    require_folder(folder)
    expect(
        any(map(artifact_of_file, file_names(folder))),
        MissingArtifactError,
        "there is nothing to compare",
        where=str(folder),
        expected="a folder with the files of an atlas, by their published names",
        found="no file of an atlas",
        remedy="correct the path",
    )
    return folder


def _folder(typed: str) -> UPath:
    from upath import UPath

    from atlas_assets.settings import AtlasSettings

    path = UPath(typed).absolute()
    if not path.exists() and "/" not in typed:
        beside = UPath(AtlasSettings.from_env().data_dir).absolute() / typed
        if beside.is_dir():
            return beside
    return path
