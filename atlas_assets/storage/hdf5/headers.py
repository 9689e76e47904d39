"""Object headers of many like datasets at once, as bytes (HDF5 file format, version 3.0).

HDF5 opens or creates one dataset at a time, which takes longer than the bytes of a vector. But the
headers of an atlas's vectors are alike: they differ in the address and the size of their one chunk,
and in the checksum over them. So one header is left to HDF5, and the others are compared with it,
or written after it, all in a few array operations.

Layout of such a header (a version 2 object header, a version 4 layout message)::

    OHDR, messages …, layout message: … | size of the chunk (8) | filter mask (4) | address (8) | …,
    checksum (4) over all bytes before it
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint32]
Offsets = npt.NDArray[np.int64]

_SIGNATURE = b"OHDR"
_CHECKSUM = 4
#: flag bits of an object header
_TIMES, _PHASE_CHANGE, _CREATION_ORDER = 0x20, 0x10, 0x04
_LAYOUT_MESSAGE = 8
#: of a layout message: version 4, chunked, its only chunk being filtered
_LAYOUT_VERSION, _CHUNKED, _FILTERED, _SINGLE_CHUNK = 4, 2, 2, 1
#: what precedes the sizes of the dimensions in it
_LAYOUT_HEAD = 5
#: superblock, version 3: where it holds the file's length, and its own checksum
_FILE_LENGTH, _SUPERBLOCK_CHECKSUM = slice(28, 36), slice(44, 48)


@dataclass(frozen=True)
class ChunkHeader:
    """A dataset's header with one deflated chunk, and where it speaks of the chunk.

    Attributes:
        data: all of it, checksum included.
        place: offset of the chunk's size; filter mask and address follow.
    """

    data: Bytes
    place: int

    @property
    def length(self) -> int:
        """In bytes."""
        return self.data.size

    @property
    def own(self) -> npt.NDArray[np.bool_]:
        """Which bytes are each dataset's own."""
        own = np.zeros(self.length, dtype=np.bool_)
        own[self._size] = own[self._address] = own[-_CHECKSUM:] = True
        return own

    @property
    def _size(self) -> slice:
        return slice(self.place, self.place + 8)

    @property
    def _address(self) -> slice:
        return slice(self.place + 12, self.place + 20)

    def chunks(self, headers: Bytes) -> tuple[Offsets, Offsets]:
        """Addresses and sizes of the chunks, from headers ``[datasets, length]`` like this one."""
        return _numbers(headers[:, self._address]), _numbers(headers[:, self._size])

    def alike(self, headers: Bytes) -> npt.NDArray[np.bool_]:
        """Which of the headers ``[datasets, length]`` are like this one, and undamaged."""
        shared = ~self.own
        same = (headers[:, shared] == self.data[shared]).all(axis=1)
        stored = headers[:, -_CHECKSUM:].copy().view("<u4")[:, 0]
        intact: npt.NDArray[np.bool_] = same & (checksums(headers[:, :-_CHECKSUM]) == stored)
        return intact

    def filled(self, addresses: Offsets, sizes: Offsets) -> Bytes:
        """Headers like this one for chunks at ``addresses``, uint8 ``[datasets, length]``."""
        headers = np.tile(self.data, (len(addresses), 1))
        headers[:, self._size] = _as_bytes(sizes)
        headers[:, self._address] = _as_bytes(addresses)
        headers[:, -_CHECKSUM:] = checksums(headers[:, :-_CHECKSUM]).view(np.uint8).reshape(-1, 4)
        return headers


def chunk_header(image: Bytes, address: int) -> ChunkHeader | None:
    """The header at ``address``, if it is of the kind that this module knows."""
    head = image[address : address + 64].tobytes()
    if head[:4] != _SIGNATURE or len(head) < 64 or head[4] != 2:
        return None
    flags = head[5]
    sized = 6 + (16 if flags & _TIMES else 0) + (4 if flags & _PHASE_CHANGE else 0)
    wide = 1 << (flags & 3)
    start = sized + wide
    length = start + int.from_bytes(head[sized:start], "little") + _CHECKSUM
    data = image[address : address + length]
    if data.size < length:
        return None
    place = _place_of_chunk(data[: length - _CHECKSUM].tobytes(), start, flags)
    return None if place is None else ChunkHeader(data.copy(), place)


def _place_of_chunk(data: bytes, start: int, flags: int) -> int | None:
    """Offset of the chunk's size in the messages from ``start`` on."""
    prefix = 6 if flags & _CREATION_ORDER else 4
    while start + prefix <= len(data):
        kind, size = data[start], int.from_bytes(data[start + 1 : start + 3], "little")
        start += prefix
        if kind == _LAYOUT_MESSAGE:
            version, layout, how, dimensions, wide = data[start : start + _LAYOUT_HEAD]
            index = start + _LAYOUT_HEAD + dimensions * wide
            known = (version, layout, how, data[index]) == (
                _LAYOUT_VERSION,
                _CHUNKED,
                _FILTERED,
                _SINGLE_CHUNK,
            )
            return index + 1 if known and index + 21 <= start + size else None
        start += size
    return None


def with_chunks(image: bytes, headers: Iterable[tuple[Offsets, Bytes]], chunks: bytes) -> bytes:
    """The file ``image`` with ``chunks`` put at its end, and its headers replaced.

    Args:
        image: a whole file.
        headers: offsets of headers in it, and those to put there, uint8 ``[datasets, length]``.
        chunks: what the headers speak of.
    """
    patched = np.frombuffer(image, dtype=np.uint8).copy()
    for offsets, replaced in headers:
        patched[offsets[:, np.newaxis] + np.arange(replaced.shape[1])] = replaced
    patched[_FILE_LENGTH] = _as_bytes(np.array([len(image) + len(chunks)]))[0]
    start = _SUPERBLOCK_CHECKSUM.start
    patched[_SUPERBLOCK_CHECKSUM] = checksums(patched[np.newaxis, :start]).view(np.uint8)
    return patched.tobytes() + chunks


def checksums(rows: Bytes) -> Words:
    """HDF5's metadata checksum (Jenkins' lookup3) of each row, uint32 ``[rows]``."""
    length = rows.shape[1]
    blocks = max(1, -(-length // 12))
    padded = np.zeros((len(rows), blocks * 12), dtype=np.uint8)
    padded[:, :length] = rows
    words = padded.view("<u4").astype(np.uint32).reshape(len(rows), blocks, 3)
    start = np.uint32((0xDEADBEEF + length) & 0xFFFFFFFF)
    a, b, c = (np.full(len(rows), start, dtype=np.uint32) for _ in range(3))
    for block in range(blocks):
        a, b, c = a + words[:, block, 0], b + words[:, block, 1], c + words[:, block, 2]
        if block < blocks - 1:
            a, b, c = _mix(a, b, c)
    return _final(a, b, c)


def _mix(a: Words, b: Words, c: Words) -> tuple[Words, Words, Words]:
    for turn in (4, 6, 8, 16, 19, 4):
        a, b, c = b, c + b, (a - c) ^ _rotated(c, turn)
    return a, b, c


def _final(a: Words, b: Words, c: Words) -> Words:
    for turn in (14, 11, 25, 16, 4, 14, 24):
        a, b, c = b, (c ^ b) - _rotated(b, turn), a
    return b


def _rotated(words: Words, by: int) -> Words:
    turned: Words = (words << np.uint32(by)) | (words >> np.uint32(32 - by))
    return turned


def _numbers(fields: Bytes) -> Offsets:
    return np.ascontiguousarray(fields).view("<i8")[:, 0].astype(np.int64)


def _as_bytes(numbers: Offsets) -> Bytes:
    return numbers.astype("<i8").view(np.uint8).reshape(-1, 8)
