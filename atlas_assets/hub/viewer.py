"""Prepares the tables for the dataset viewer of the Hub and for ``datasets.load_dataset``.

``datasets`` reads one repository with one builder: every table that is shown is therefore parquet.
A table that is published as CSV is repeated under ``viewer/``; HDF5 files and images are in no
configuration.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from atlas_assets.hub.manifest import ColumnRecord, FileRecord, Manifest, TableRecord
from atlas_assets.stages.artifact import Artifact
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.columns import CONSISTENCY, DEFINITION, EPSILON
from atlas_assets.stages.setting import Definition, Partition

SPLIT = "train"
_FOLDER = "viewer"
#: the configuration that the viewer opens with, where it is published
_DEFAULT_CONFIG = "summary"
#: the type of a column of lists → that of their items
_ITEMS = {"list<int32>": "int32", "list<float32>": "float32"}
_DTYPES: dict[Any, str] = {
    pl.String(): "string",
    pl.Int64(): "int64",
    pl.Float64(): "float64",
    pl.Boolean(): "bool",
    pl.List(pl.Int32()): "list<int32>",
    pl.List(pl.Float32()): "list<float32>",
}


def path_of(artifact: Artifact, setting: Partition | None) -> str:
    """Return the path, inside the repository, of the parquet file that the viewer reads."""
    if artifact.kind == "parquet" and setting is None:
        return artifact.file_name()  # others lack the columns that name their partition
    if setting is None:
        return f"{_FOLDER}/{artifact.key}.parquet"
    return f"{_FOLDER}/{artifact.key}/{setting.file_tag}.parquet"


def in_order(partitions: Iterable[Partition | None]) -> list[Partition | None]:
    """Return the partitions of a table in the order of their rows: settings ascending, as given.

    Definitions are in the order of their names.
    """
    return sorted(partitions, key=lambda at: str(at) if isinstance(at, Definition) else "")


def frame_of(table: pl.DataFrame, setting: Partition | None) -> pl.DataFrame:
    """Return a table as it is shown: ε and C of its setting, or its definition, come first."""
    if setting is None:
        return table
    if isinstance(setting, Definition):
        return table.select(pl.lit(str(setting)).alias(DEFINITION.name), pl.all())
    at = {EPSILON.name: setting.epsilon, CONSISTENCY.name: setting.consistency}
    return table.select(
        *(pl.lit(value, dtype=pl.Float64).alias(name) for name, value in at.items()), pl.all()
    )


def table_record(artifact: Artifact, frame: pl.DataFrame) -> TableRecord:
    """Return the description of a frame for manifest and card."""
    columns = [ColumnRecord(name=name, dtype=_DTYPES[t]) for name, t in frame.schema.items()]
    return TableRecord(
        config=artifact.key,
        rows=frame.height,
        num_bytes=sum(_arrow_bytes(column) for column in frame),
        columns=tuple(columns),
    )


class RowsDigest:
    """SHA-256 over the values of rows, in the order in which they are added; counts them, too."""

    def __init__(self) -> None:
        self.count = 0
        self._digest = hashlib.sha256()

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Take in rows, one at a time."""
        for row in rows:
            self._digest.update(json.dumps(list(row), ensure_ascii=False).encode() + b"\n")
            self.count += 1

    @property
    def hex(self) -> str:
        """The digest of all rows so far."""
        return self._digest.hexdigest()


def tables(manifest: Manifest) -> dict[str, list[tuple[FileRecord, TableRecord]]]:
    """Return each configuration's files, in the order of the pipeline, settings ascending."""
    found: dict[str, list[tuple[FileRecord, TableRecord]]] = {key: [] for key in ARTIFACTS}
    for file in manifest.files:
        if file.table is not None:
            found.setdefault(file.table.config, []).append((file, file.table))
    for files in found.values():
        files.sort(key=lambda file: _setting_key(file[0]))
    return {config: files for config, files in found.items() if files}


def default_of(manifest: Manifest) -> str | None:
    """Return the configuration that the viewer opens with; ``None`` where there is no table."""
    shown = tables(manifest)
    return _DEFAULT_CONFIG if _DEFAULT_CONFIG in shown else next(iter(shown), None)


def front_matter(manifest: Manifest) -> dict[str, list[dict[str, Any]] | None]:
    """Return ``configs``, one being the default, and ``dataset_info``; ``None`` without tables."""
    default = default_of(manifest)
    configs, infos = [], []
    for config, files in tables(manifest).items():
        is_default = {"default": True} if config == default else {}
        data_files = [{"split": SPLIT, "path": [file.path for file, _ in files]}]
        configs.append({"config_name": config, **is_default, "data_files": data_files})
        num_bytes = sum(table.num_bytes for _, table in files)
        rows = sum(table.rows for _, table in files)
        info = {
            "config_name": config,
            "features": [_feature(column) for column in files[0][1].columns],
            "splits": [{"name": SPLIT, "num_bytes": num_bytes, "num_examples": rows}],
            "download_size": sum(file.size for file, _ in files),
            "dataset_size": num_bytes,
        }
        infos.append(info)
    return {"configs": configs or None, "dataset_info": infos or None}


def _feature(column: ColumnRecord) -> dict[str, str]:
    item = _ITEMS.get(column.dtype)
    return {"name": column.name, **({"list": item} if item else {"dtype": column.dtype})}


def _setting_key(file: FileRecord) -> tuple[float | str, ...]:
    """Return the sort key of a file within its configuration: ε, then C; or its definition."""
    parts = file.partition.split("|") if file.partition else []
    return tuple(map(float, reversed(parts))) if len(parts) == 2 else tuple(parts)


def _arrow_bytes(column: pl.Series) -> int:
    """Return the size of a column in Arrow's memory, without bitmaps of absent values, in bytes."""
    rows = len(column)
    if column.dtype == pl.Boolean:
        return -(-rows // 8)
    if column.dtype == pl.String:
        return int(column.str.len_bytes().sum()) + 4 * (rows + 1)
    if column.dtype == pl.List(pl.Int32):
        return 4 * int(column.list.len().sum()) + 4 * (rows + 1)
    return 8 * rows
