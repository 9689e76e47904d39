"""Partition spaces: what an artifact has one file for each of.

An artifact names its space (`Artifact.partitions`), or none where it is one file. The sweep is the
one space there is: one file per setting (ε, C). Another space is another `PartitionSpace`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from atlas_assets.errors import SettingsError
from atlas_assets.stages.setting import Setting

#: stands in an artifact's file name for the partition
PLACEHOLDER = "{tag}"


@dataclass(frozen=True)
class PartitionSpace:
    """What the files of one artifact differ in.

    Attributes:
        name: names the space.
        tag: regular expression of a partition's spelling in file names, with named groups.
        parse: the partition that the matched groups name.
        of_key: the partition that a key of Dagster's names.
    """

    name: str
    tag: str
    parse: Callable[[re.Match[str]], Setting]
    of_key: Callable[[str], Setting]

    def partition_in(self, template: str, name: str) -> Setting | None:
        """The partition of the file ``name``, for an artifact whose files are ``template``.

        Args:
            template: a file name with `PLACEHOLDER`.
            name: a file name without folder, for example
                ``13_object_masks_eps0.5_cons0.8.h5``.

        Returns:
            ``None`` for a name that is no file of the artifact. A partition has one spelling only,
            else two files could claim to be the same partition.
        """
        pattern = re.escape(template).replace(re.escape(PLACEHOLDER), self.tag)
        match = re.fullmatch(pattern, name)
        if match is None:
            return None
        try:
            partition = self.parse(match)
        except (ValueError, SettingsError):
            return None
        return partition if template.format(tag=partition.file_tag) == name else None


#: one file per setting (ε, C)
SWEEP = PartitionSpace(
    name="sweep",
    tag="eps(?P<epsilon>[^_]+)_cons(?P<consistency>[^_]+)",
    parse=lambda match: Setting(float(match["epsilon"]), float(match["consistency"])),
    of_key=Setting.of_partition_key,
)
