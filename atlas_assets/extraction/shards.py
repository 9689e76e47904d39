"""Scratch files that let a long computation resume after a kill.

A computation is cut into shards by a deterministic plan; each finished shard's arrays lie in one
safetensors file under a folder named by a fingerprint of everything that changes their values. A
re-run loads what is there and computes the rest.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from atlas_assets.errors import ArtifactError, ArtifactWriteError, expect
from atlas_assets.files.atomic import write_bytes
from atlas_assets.files.scratch import hold, remove_unless_held
from atlas_assets.stages.activations.activations import payload_digest

Array = npt.NDArray[Any]
Arrays = dict[str, Array]

_log = logging.getLogger(__name__)
_FINGERPRINT = re.compile(r"[0-9a-f]{8,64}")


class ShardStore:
    """The finished shards of one computation.

    Args:
        folder: belongs to this computation alone (nothing else keeps files in it); None keeps
            nothing. What other fingerprints left in it is removed at first use, unless another
            process is at it.
        fingerprint: 8 to 64 hexadecimal digits (else ArtifactError) covering whatever changes the
            numbers.
    """

    def __init__(self, folder: Path | None, fingerprint: str) -> None:
        expect(
            _FINGERPRINT.fullmatch(fingerprint) is not None,
            ArtifactError,
            "the fingerprint of a shard store is not usable as a folder name",
            expected="8 to 64 digits out of 0-9a-f, such as a SHA-256",
            found=repr(fingerprint),
            remedy="pass the hexadecimal digest of what the computation depends on",
        )
        self.folder = folder
        self.fingerprint = fingerprint
        self._opened = False

    def beside(self, name: str) -> ShardStore:
        """Return a store for another part of the work, in a folder of that name within this one."""
        folder = None if self.folder is None else self.folder / name
        return ShardStore(folder, self.fingerprint)

    def narrowed(self, *parts: str) -> ShardStore:
        """Return the store in the same folder whose fingerprint covers ``parts`` too."""
        text = "\0".join((self.fingerprint, *parts))
        return ShardStore(self.folder, hashlib.sha256(text.encode()).hexdigest())

    def get(self, key: str, *, like: Mapping[str, Array]) -> Arrays | None:
        """Return the arrays of shard ``key``, or None where it is missing or cannot be used.

        A shard that is damaged (truncated, altered), or whose arrays have other names, shapes or
        dtypes than those of ``like``, is reported as a warning in the log.
        """
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            return _read(path, like)
        except (OSError, ValueError, SafetensorError) as error:
            _log.warning("shard %s is damaged and will be computed again: %s", path, error)
            return None

    def put(self, key: str, arrays: Mapping[str, Array]) -> None:
        """Store a finished shard, whole or not at all (ArtifactWriteError)."""
        path = self._path(key, to_write=True)
        if path is not None:
            write_shard(path, arrays)

    def opened(self) -> Path:
        """Return the folder of the shards, which is made and held, of a store that keeps them."""
        path = self._path("any", to_write=True)
        assert path is not None, "this store keeps nothing"
        return path.parent.resolve()

    def _path(self, key: str, *, to_write: bool = False) -> Path | None:
        if self.folder is None:
            return None
        if not self._opened:
            _remove_others(self.folder, self.fingerprint)
            self._opened = True
        folder = self.folder / self.fingerprint
        with contextlib.suppress(OSError):  # a write says what is wrong with the folder
            if to_write or folder.is_dir():
                hold(folder)
        return folder / f"{key}.safetensors"


def write_shard(path: Path, arrays: Mapping[str, Array]) -> str:
    """Write a shard, whole or not at all (ArtifactWriteError); return the digest of its content."""
    kept = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    digest = payload_digest((), kept)
    write_bytes(path, save(kept, metadata={"sha256": digest}), what=f"shard {path.stem}")
    return digest


def digest_of(path: Path) -> str | None:
    """Return the digest that a shard was written with; None where there is no sound file."""
    try:
        with safe_open(path, framework="numpy") as file:
            digest: str | None = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    return digest


def _read(path: Path, like: Mapping[str, Array]) -> Arrays:
    with safe_open(path, framework="numpy") as file:
        recorded = (file.metadata() or {}).get("sha256")
        arrays: Arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if recorded != payload_digest((), arrays):
        raise ValueError("its contents do not match its recorded digest")
    if _described(arrays) != _described(like):
        raise ValueError("it does not hold the arrays of this computation")
    return arrays


def _described(arrays: Mapping[str, Array]) -> dict[str, object]:
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}


def _remove_others(folder: Path, fingerprint: str) -> None:
    """Remove the shards of computations with other settings: nobody can resume from them."""
    if not folder.is_dir():
        return
    for entry in sorted(folder.iterdir()):
        if entry.name == fingerprint or not _FINGERPRINT.fullmatch(entry.name):
            continue
        try:
            remove_unless_held(entry)
        except OSError as error:
            raise ArtifactWriteError(
                "cannot remove the scratch files of an earlier computation",
                where=str(entry),
                found=str(error),
                remedy="remove the folder by hand or make it writable",
            ) from error
