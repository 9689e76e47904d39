"""What the folder of an atlas holds, by published file name."""

from __future__ import annotations

from upath import UPath

from atlas_assets.files.locations import explained
from atlas_assets.stages.catalog import artifact_of_file
from atlas_assets.stages.setting import Partition, Setting


def file_names(root: UPath) -> tuple[str, ...]:
    """Return the sorted names of a folder's files, less hidden ones; none if there is no folder.

    Raises UnreadableArtifactError where the system does not let the folder be looked into.
    """
    root = UPath(root)
    with explained(root):
        if not root.is_dir():
            return ()
        return tuple(sorted(p.name for p in root.iterdir() if p.is_file() and p.name[:1] != "."))


def settings_present(root: UPath, key: str) -> tuple[Setting, ...]:
    """Return the settings, ascending, that a folder holds a file of the artifact ``key`` for."""
    present = partitions_present(root, key)
    return tuple(sorted(found for found in present if isinstance(found, Setting)))


def partitions_present(root: UPath, key: str) -> tuple[Partition, ...]:
    """Return the partitions that a folder holds a file of the artifact ``key`` for."""
    recognised = [artifact_of_file(name) for name in file_names(root)]
    return tuple(found[1] for found in recognised if found and found[0].key == key and found[1])
