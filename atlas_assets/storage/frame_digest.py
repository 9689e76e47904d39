"""A digest of a table's content that does not depend on how a library lays it out."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl

_NUMBERS = {
    pl.Int32: "<i4",
    pl.Int64: "<i8",
    pl.UInt32: "<u4",
    pl.Float64: "<f8",
    pl.Boolean: "|b1",
}


def frame_digest(frame: pl.DataFrame) -> str:
    """SHA-256 over column names, types and values, in order; equal exactly when those are.

    Raises:
        TypeError: a column has a type that no table of an atlas has.
    """
    digest = hashlib.sha256(f"{frame.height}".encode())
    for column in frame.iter_columns():
        digest.update(f"\0{column.name}\0{column.dtype}\0".encode())
        _update(digest, column)
    return digest.hexdigest()


def _update(digest: hashlib._Hash, column: pl.Series) -> None:
    """Adds absent values, then lengths and content, so that no two columns look the same."""
    digest.update(column.is_null().to_numpy().tobytes())
    values = column.drop_nulls()
    if isinstance(values.dtype, pl.List):
        _update(digest, values.list.len())
        _update(digest, values.explode(empty_as_null=False))
    elif values.dtype == pl.String:
        _update(digest, values.str.len_bytes())
        digest.update("".join(values.to_list()).encode())
    elif type(values.dtype) in _NUMBERS:
        array = values.to_numpy().astype(_NUMBERS[type(values.dtype)], copy=False)
        digest.update(np.ascontiguousarray(array).tobytes())
    else:
        raise TypeError(f"column {column.name!r} has type {column.dtype}, which no table has")
