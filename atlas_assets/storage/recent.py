"""Small values that this process has read, handed over again while their files do not change.

The assets of one run read the same tables and universal masks several times. Pair masks and
activations are too large to be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from upath import UPath

from atlas_assets.files.locations import local_path
from atlas_assets.stages.masks.masks import CheckerMasks, Masks, ObjectMasks

#: how many values are kept, and the largest number of bytes of one
_MOST, _LARGEST = 64, 1 << 24

Files = Iterable[UPath | Path]
States = tuple[tuple[int, ...], ...]


@dataclass
class Recent:
    """Values by files and part, each with the state its files were in when it was read."""

    _kept: dict[tuple[str, str | None], tuple[States, Any]] = field(default_factory=dict)

    def recall(self, files: Files, part: str | None, read: Callable[[], Any]) -> Any:
        """The value in ``files``: the one that is kept, if they are unchanged; else ``read()``."""
        name, before = ("\0".join(map(str, files)), part), _states(files)
        kept = self._kept.pop(name, None)
        if kept is None or kept[0] != before:
            value = read()
            if before is None or before != _states(files) or not _is_small(value):
                return value
            kept = before, value
        self._kept[name] = kept
        if len(self._kept) > _MOST:
            del self._kept[next(iter(self._kept))]
        return kept[1]


def _states(files: Files) -> States | None:
    """Device, inode, size and times of local files; ``None`` where one is missing or remote.

    One of these changes whenever the content of a file may have changed.
    """
    found = []
    for file in files:
        local = local_path(file)
        if local is None or not local.exists():
            return None
        stat = local.stat()
        found.append((stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return tuple(found)


def _is_small(value: Any) -> bool:
    """Whether a value may be kept; its arrays become read-only, since several will hold it."""
    if isinstance(value, pl.DataFrame):
        return value.estimated_size() <= _LARGEST
    if isinstance(value, ObjectMasks) and value.pairs is None:
        for matrix in (value.jaccard_ast, value.jaccard_builtin):
            matrix.flags.writeable = False
        return _is_small(value.universal)
    if isinstance(value, CheckerMasks):
        return _is_small(value.masks)
    if isinstance(value, Masks) and value.bits.nbytes <= _LARGEST:
        value.bits.flags.writeable = False
        return True
    return False
