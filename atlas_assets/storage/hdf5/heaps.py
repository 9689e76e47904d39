"""Finds the one damage to an HDF5 file on which HDF5 never returns.

Texts are kept in *global heaps*: ``GCOL``, a version, the heap's size, then one object after the
other, each with its index and size, the last one (index 0) being the free space. HDF5 steps from
object to object, and does not move where a damaged size leads it to free space of no size.
"""

from __future__ import annotations

import io
import mmap
import os
import re
import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO

from atlas_assets.errors import unsound
from atlas_assets.files.locations import file_state

Buffer = bytes | mmap.mmap

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: the length of the shortest block of a user's own before the signature; others double it
_USER_BLOCK = 512
_HEAP, _SIGNATURE_OF_HEAP = re.compile(rb"GCOL\x01\0\0\0"), 8
#: where the superblock says how long a size is, by its version
_LENGTH_AT = {0: 14, 1: 14, 2: 10, 3: 10}
#: bytes of a file that are searched at a time, so that no more of them are in memory
_WINDOW = 1 << 26
_VERSION_AT, _HEAP_HEADER, _OBJECT_HEADER, _WORD = 8, 16, 16, 8
_OBJECT = struct.Struct("<HHIQ")  # index, references, nothing, bytes
_SIZE = struct.Struct("<Q")


def signature_at(file: IO[bytes] | mmap.mmap) -> int | None:
    """Return where HDF5 begins in a file, after a user block or at once; ``None`` if nowhere."""
    at, size = 0, file.seek(0, os.SEEK_END) or file.tell()
    while at < size:
        file.seek(at)
        if file.read(len(_SIGNATURE)) == _SIGNATURE:
            return at
        at = 2 * at or _USER_BLOCK
    return None


def require_heaps_that_end(source: Path | bytes) -> None:
    """Refuse (ArtifactError) a file that HDF5 would never finish to read.

    Any other damage is for HDF5 to find. All bytes of the file are searched, once as long as it
    does not change. A file whose sizes do not have eight bytes is not searched.
    """
    if isinstance(source, bytes):
        starts = (heap.start() for heap in _HEAP.finditer(source))
        _require_ends(source, starts, f"{len(source)} bytes in memory")
    else:
        _require_file_ends(source, file_state(source))


@lru_cache(maxsize=256)
def _require_file_ends(path: Path, state: tuple[int, ...] | None) -> None:  # noqa: ARG001
    """As `require_heaps_that_end`; ``state`` is another whenever the file may be another."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size:
            # not closed by `with`: while an interrupt is told, parts of it are still looked at
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            _require_ends(data, _heaps(file), str(path))


def _heaps(file: IO[bytes]) -> Iterator[int]:
    """Where each heap of a file begins, or what looks like one."""
    size = os.fstat(file.fileno()).st_size
    for at in range(0, size, _WINDOW):
        length = min(_WINDOW + _SIGNATURE_OF_HEAP - 1, size - at)
        window = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ, offset=at)
        yield from [at + heap.start() for heap in _HEAP.finditer(window)]


def _require_ends(data: Buffer, heaps: Iterable[int], where: str) -> None:
    begin = signature_at(io.BytesIO(data) if isinstance(data, bytes) else data)
    if begin is None or len(data) < begin + 4 * _HEAP_HEADER:
        return
    length_at = _LENGTH_AT.get(data[begin + _VERSION_AT])
    if length_at is None or data[begin + length_at] != _WORD:
        return
    for start in heaps:
        at = _caught_at(data, start)
        if at is not None:
            what = "the HDF5 file is damaged: its texts cannot be read to an end"
            expected = f"a heap of texts at byte {start} that ends"
            raise unsound(what, where, expected, f"free space of 0 bytes at byte {at}")


def _caught_at(data: Buffer, start: int) -> int | None:
    """Where HDF5 would stay without end in the heap at ``start``."""
    if start + _HEAP_HEADER > len(data):
        return None
    (size,) = _SIZE.unpack_from(data, start + _WORD)
    end, at = start + size, start + _HEAP_HEADER
    if end > len(data):
        return None
    while end - at >= _OBJECT_HEADER:
        index, _, _, n_bytes = _OBJECT.unpack_from(data, at)
        step = n_bytes if index == 0 else _OBJECT_HEADER + -(-n_bytes // _WORD) * _WORD
        if step == 0:
            return at
        at += step
    return None
