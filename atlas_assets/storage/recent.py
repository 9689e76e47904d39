"""What this process last read or wrote, for as long as the files are what they were.

The assets of one run hand each other small things through files: tables, the masks of concepts.
Each was validated when it came into memory, and reading it again would only give it again. A file
that changes, by whatever hand, is read. Pair masks and activations are too large to be kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from upath import UPath

from atlas_assets.files.locations import local_path
from atlas_assets.stages.masks.masks import CheckerMasks, Masks, ObjectMasks

#: values that are kept, and bytes of each, at most
_MOST, _LARGEST = 64, 1 << 24

#: device, inode, size and times of a file: one of them changes whenever its content may have
FileState = tuple[int, ...]
States = tuple[FileState, ...]
_Name = tuple[str, str | None]


@dataclass
class Recent:
    """Values by file and part, each with the state of the files it is in."""

    _kept: OrderedDict[_Name, tuple[States, Any]] = field(default_factory=OrderedDict)

    def recall(
        self, files: Iterable[UPath | Path], part: str | None, read: Callable[[], Any]
    ) -> Any:
        """The value in ``files``: the one that is kept, if they are unchanged; else ``read()``."""
        name, before = _name(files, part), states(files)
        if before is not None and name in self._kept and self._kept[name][0] == before:
            self._kept.move_to_end(name)
            return self._kept[name][1]
        value = read()
        if before is not None and before == states(files):
            self.keep(files, part, before, value)
        return value

    def keep(self, files: Iterable[UPath | Path], part: str | None, at: States, value: Any) -> None:
        """Keeps ``value``, the content of ``files`` in the states ``at``, if it is small."""
        kept = _light(value)
        if kept is None:
            return
        self._kept[_name(files, part)] = (at, kept)
        while len(self._kept) > _MOST:
            self._kept.popitem(last=False)


def states(files: Iterable[UPath | Path]) -> States | None:
    """The states of local files; ``None`` where one is missing or lies elsewhere."""
    found = []
    for file in files:
        local = local_path(file)
        try:
            stat = None if local is None else local.stat()
        except OSError:
            stat = None
        if stat is None:
            return None
        found.append((stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return tuple(found)


def _name(files: Iterable[UPath | Path], part: str | None) -> _Name:
    return "\0".join(map(str, files)), part


def _light(value: Any) -> Any | None:
    """A value that nobody can change, if it is small enough; else ``None``."""
    if isinstance(value, pl.DataFrame):
        return value if value.estimated_size() <= _LARGEST else None
    if isinstance(value, Masks):
        return _locked(value) if value.bits.nbytes <= _LARGEST else None
    if isinstance(value, CheckerMasks):
        masks = _light(value.masks)
        return None if masks is None else CheckerMasks(value.setting, masks)
    if isinstance(value, ObjectMasks) and value.pairs is None:
        universal = _light(value.universal)
        if universal is not None:
            matrices = map(_copied, (value.jaccard_ast, value.jaccard_builtin))
            return ObjectMasks(value.setting, None, universal, *matrices)
    return None


def _locked(masks: Masks) -> Masks:
    return Masks(masks.names, _copied(masks.bits))


def _copied(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    copy = array.copy()
    copy.flags.writeable = False
    return copy
