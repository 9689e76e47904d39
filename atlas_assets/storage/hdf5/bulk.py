"""Reads many like vectors straight from the bytes of an open HDF5 file.

An accelerator and nothing more: what is not exactly as `hdf5_headers` knows it, or is damaged, is
left to HDF5, which reads it or says what is wrong with it.
"""

from __future__ import annotations

import os
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from h5py import h5d, h5z

from atlas_assets.storage.hdf5.headers import Bytes, ChunkHeader, Offsets, chunk_header

Rows = npt.NDArray[np.intp]

#: enough for the header of a vector, which is sought in it
_HEADER_SPAN = 1024
#: bytes that are read, at most, for each byte that is wanted
_WASTE = 4
_DEFLATED = ((h5z.FILTER_DEFLATE,), (h5z.FILTER_SHUFFLE, h5z.FILTER_DEFLATE))


class FileBytes:
    """The bytes of an open file: of its own descriptor, so that a replaced file stays the same.

    Args:
        file: h5py's low-level file.
        image: all bytes, where the file was opened from memory.
    """

    def __init__(self, file: Any, image: bytes | None = None) -> None:
        self._image = image
        self._descriptor = -1 if image is not None else int(file.get_vfd_handle())
        self.length = os.fstat(self._descriptor).st_size if image is None else len(image)

    def read(self, start: int, stop: int) -> Bytes:
        """The bytes from ``start`` up to ``stop`` or the end of the file."""
        if self._image is not None:
            return np.frombuffer(self._image, dtype=np.uint8)[start:stop]
        data = bytearray()
        while start + len(data) < stop:
            block = os.pread(self._descriptor, stop - start - len(data), start + len(data))
            if not block:
                break
            data += block
        return np.frombuffer(data, dtype=np.uint8)


def read_vectors(file: FileBytes, first: Any, addresses: Offsets, out: npt.NDArray[Any]) -> Rows:
    """Fills ``out`` with the datasets whose headers are like that of the first.

    Args:
        file: holds them.
        first: the first of the datasets, opened by HDF5.
        addresses: of all datasets' headers; -1 where it is not known.
        out: ``[datasets, width]``.

    Returns:
        The rows that are left to be read by HDF5; they may be all.
    """
    everything = np.arange(len(addresses))
    shuffled = _shuffled(first, out)
    if shuffled is None:
        return everything
    base = int(addresses[0])
    header = chunk_header(file.read(base, base + _HEADER_SPAN), 0) if base >= 0 else None
    headers = None if header is None else _gathered(file, addresses, header.length)
    if header is None or headers is None:
        return everything
    known = np.flatnonzero(header.alike(headers))
    return np.setdiff1d(everything, _inflate(file, header, headers, known, out, shuffled))


def _shuffled(dataset: Any, out: npt.NDArray[Any]) -> bool | None:
    """Whether the values are shuffled; ``None`` if they are not stored as they are in memory."""
    creation = dataset.get_create_plist()
    if creation.get_layout() != h5d.CHUNKED or creation.get_chunk() != out.shape[1:]:
        return None
    if dataset.shape != out.shape[1:] or dataset.dtype != out.dtype.newbyteorder("<"):
        return None
    filters = tuple(creation.get_filter(i)[0] for i in range(creation.get_nfilters()))
    if filters not in _DEFLATED or not dataset.get_num_chunks():
        return None
    if dataset.get_chunk_info(0).filter_mask:  # of the filters some were skipped
        return None
    return len(filters) == 2


def _inflate(
    file: FileBytes,
    header: ChunkHeader,
    headers: Bytes,
    rows: Rows,
    out: npt.NDArray[Any],
    shuffled: bool,
) -> Rows:
    """Reads the chunks of ``rows``; returns those that were sound."""
    starts, sizes = header.chunks(headers[rows])
    inside = (starts >= 0) & (sizes > 0) & (sizes <= file.length) & (starts <= file.length - sizes)
    rows, starts, sizes = rows[inside], starts[inside], sizes[inside]
    if not rows.size:
        return rows
    lowest, highest = int(starts.min()), int((starts + sizes).max())
    if highest - lowest > _WASTE * int(sizes.sum()):
        return rows[:0]
    data = file.read(lowest, highest).data
    width, itemsize = out.shape[1], out.dtype.itemsize
    plain, sound = [], []
    for row, start, size in zip(rows, (starts - lowest).tolist(), sizes.tolist(), strict=True):
        vector = _inflated(data[start : start + size], width * itemsize)
        if vector is not None:
            plain.append(vector)
            sound.append(row)
    values = np.frombuffer(b"".join(plain), dtype=np.uint8)
    if shuffled:
        values = values.reshape(-1, itemsize, width).transpose(0, 2, 1)
    values = np.ascontiguousarray(values).reshape(-1, width * itemsize)
    out[sound] = values.view(out.dtype.newbyteorder("<"))
    return np.array(sound, dtype=np.intp)


def _inflated(chunk: memoryview, length: int) -> bytes | None:
    try:
        plain = zlib.decompress(chunk, bufsize=length)
    except zlib.error:
        return None
    return plain if len(plain) == length else None


def _gathered(file: FileBytes, addresses: Offsets, length: int) -> Bytes | None:
    """The headers at ``addresses``, uint8 ``[datasets, length]``."""
    lowest, highest = int(addresses.min()), int(addresses.max()) + length
    if lowest < 0 or highest > file.length or highest - lowest > _WASTE * length * addresses.size:
        return None
    span = file.read(lowest, highest)
    if span.size < highest - lowest:
        return None
    headers: Bytes = span[(addresses - lowest)[:, np.newaxis] + np.arange(length)]
    return headers
