"""What the folder of an atlas holds, by published file name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from upath import UPath

from atlas_assets.files.locations import names_in
from atlas_assets.files.remote import listed
from atlas_assets.stages.catalog import artifact_of_file
from atlas_assets.stages.setting import Partition, Setting
from atlas_assets.storage.sidecar import FOLDER


@contextlib.contextmanager
def only_read(root: UPath) -> Iterator[None]:
    """Let one listing answer which files an atlas has, where that is remote.

    It is for whoever only reads: what is written meanwhile may not be seen.
    """
    root = UPath(root)
    with listed(root, root / FOLDER):
        yield


def file_names(root: UPath) -> tuple[str, ...]:
    """Return the sorted names of a folder's files, less hidden ones; none if there is no folder.

    Raises UnreadableArtifactError where the system does not let the folder be looked into.
    """
    return tuple(name for name in names_in(root) if name[:1] != ".")


def settings_present(root: UPath, key: str) -> tuple[Setting, ...]:
    """Return the settings, ascending, that a folder holds a file of the artifact ``key`` for."""
    present = partitions_present(root, key)
    return tuple(sorted(found for found in present if isinstance(found, Setting)))


def partitions_present(root: UPath, key: str) -> tuple[Partition, ...]:
    """Return the partitions that a folder holds a file of the artifact ``key`` for."""
    recognised = [artifact_of_file(name) for name in file_names(root)]
    return tuple(found[1] for found in recognised if found and found[0].key == key and found[1])
