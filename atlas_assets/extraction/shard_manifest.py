"""What is written of a pass whose sums stay on disk: a list beside its shards.

The process that cuts the work keeps the list, whoever writes the shards. Each shard is entered when
it is taken, with the digest of its content, and a run that goes on takes no other file for it. A
shard that was written but not entered, as when the process was killed in between, is sound by the
digest in its own file.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from atlas_assets.files.atomic import write_bytes
from atlas_assets.files.json_text import read_json, sealed, unsealed

#: the file, in the folder of the shards
NAME = "manifest.json"
_log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """A shard that is written.

    Attributes:
        units: the number of units in it.
        prompts: the number of distinct prompts of them.
        sha256: the digest of its content.
    """

    units: int
    prompts: int
    sha256: str


class Manifest:
    """The shards of a pass that are written, by key.

    Args:
        folder: of the shards. A list that lies there is taken up; one that is damaged is begun
            anew, and a warning says so.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._entries = _read(self._path)

    @property
    def entries(self) -> Mapping[str, Entry]:
        """The shards that are written, by key."""
        return MappingProxyType(self._entries)

    def fits(self, key: str, sha256: str) -> bool:
        """Whether a shard whose file has that digest is the one that was entered, if one was."""
        entered = self._entries.get(key)
        if entered is None or entered.sha256 == sha256:
            return True
        _log.warning("shard %s in %s is another than was written", key, self._path.parent)
        return False

    def enter(self, key: str, entry: Entry) -> None:
        """Enter a shard; the list is written whole or not at all (ArtifactWriteError)."""
        if self._entries.get(key) == entry:
            return
        self._entries[key] = entry
        shards = {key: entry._asdict() for key, entry in sorted(self._entries.items())}
        text = json.dumps(sealed({"shards": shards}), indent=1)
        write_bytes(self._path, text.encode(), what="the list of shards")


def _read(path: Path) -> dict[str, Entry]:
    try:
        shards: dict[str, Any] = unsealed(read_json(path.read_bytes()), since=0)["shards"]
        return {key: Entry(**fields) for key, fields in shards.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        _log.warning("the list of shards %s is damaged and is begun anew: %s", path, error)
        return {}
