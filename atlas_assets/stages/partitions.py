"""The partition spaces: what an artifact has one file for each of.

An artifact names its space (`Artifact.partitions`), or none where it is one file. The sweep is the
one space there is today; another one is another `PartitionSpace` here and its Dagster partitions in
`orchestration/partitions.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from atlas_assets.stages.setting import Setting


@dataclass(frozen=True)
class PartitionSpace:
    """What the files of one artifact differ in.

    Attributes:
        name: The name of the space.
        of_key: Reads a partition key of Dagster's; raises SettingsError for another text.
        of_file_tag: Reads the part of a file name that tells the partition; ``None`` for another
            text. A partition has a ``file_tag`` of one spelling.
    """

    name: str
    of_key: Callable[[str], Setting]
    of_file_tag: Callable[[str], Setting | None]


#: one file per setting (ε, C)
SWEEP = PartitionSpace("sweep", Setting.of_partition_key, Setting.of_file_tag)
