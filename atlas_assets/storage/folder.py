"""What lies in the folder of an atlas, by published file name."""

from __future__ import annotations

from upath import UPath

from atlas_assets.stages.catalog import artifact_of_file
from atlas_assets.stages.setting import Setting


def file_names(root: UPath) -> tuple[str, ...]:
    """Sorted names of the files in the folder, hidden ones left out; none if there is no folder."""
    root = UPath(root)
    if not root.is_dir():
        return ()
    return tuple(sorted(p.name for p in root.iterdir() if p.is_file() and p.name[:1] != "."))


def settings_present(root: UPath, key: str) -> tuple[Setting, ...]:
    """The settings, ascending, that the folder holds a file of the artifact ``key`` for."""
    recognised = [artifact_of_file(name) for name in file_names(root)]
    return tuple(
        sorted(found[1] for found in recognised if found and found[0].key == key and found[1])
    )
