"""The tables as the Hub's dataset viewer and ``datasets.load_dataset`` want them.

``datasets`` reads one repository with one builder: every table that is shown is therefore parquet.
A table that is published as CSV is repeated under ``viewer/``; HDF5 files and images are in no
configuration.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from atlas_assets.hub.manifest import ColumnRecord, FileRecord, Manifest, TableRecord
from atlas_assets.stages.artifact import Artifact
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.columns import CONSISTENCY, EPSILON
from atlas_assets.stages.schema import Column
from atlas_assets.stages.setting import Setting

FOLDER = "viewer"
SPLIT = "train"
#: the configuration that the viewer opens with, where it is published
DEFAULT_CONFIG = "summary"

_LIST = "list<int32>"
_DTYPES: dict[Any, str] = {
    pl.String(): "string",
    pl.Int64(): "int64",
    pl.Float64(): "float64",
    pl.Boolean(): "bool",
    pl.List(pl.Int32()): _LIST,
}


def path_of(artifact: Artifact, setting: Setting | None) -> str:
    """The parquet file, inside the repository, that the viewer reads."""
    name = artifact.file_name(setting)
    if artifact.kind == "parquet":
        return name
    if setting is None:
        return f"{FOLDER}/{artifact.key}.parquet"
    return f"{FOLDER}/{artifact.key}/{setting.file_tag}.parquet"


def frame_of(table: pl.DataFrame, setting: Setting | None) -> pl.DataFrame:
    """The table as it is shown: one of a setting says which in its first two columns."""
    if setting is None:
        return table
    at = {EPSILON.name: setting.epsilon, CONSISTENCY.name: setting.consistency}
    return table.select(
        *(pl.lit(value, dtype=pl.Float64).alias(name) for name, value in at.items()), pl.all()
    )


def columns_of(artifact: Artifact, shown: Iterable[str]) -> tuple[Column, ...]:
    """The declared columns of a table as it is shown."""
    if artifact.schema is None:
        return ()
    at = (EPSILON, CONSISTENCY) if artifact.partitioned else ()
    names = {column.name for column in at}
    return (*at, *artifact.schema.declared([name for name in shown if name not in names]))


def key_of(artifact: Artifact) -> tuple[str, ...]:
    """The columns whose values together are different in every row of the table as shown."""
    at = (EPSILON.name, CONSISTENCY.name) if artifact.partitioned else ()
    return (*at, *(artifact.schema.key if artifact.schema else ()))


def parquet_of(frame: pl.DataFrame) -> bytes:
    """The frame as a parquet file; equal frames give equal bytes."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def table_record(artifact: Artifact, frame: pl.DataFrame) -> TableRecord:
    """What the card says of a frame."""
    columns = [ColumnRecord(name=name, dtype=_DTYPES[t]) for name, t in frame.schema.items()]
    return TableRecord(
        config=artifact.key,
        rows=frame.height,
        num_bytes=sum(_arrow_bytes(frame[name]) for name in frame.columns),
        columns=tuple(columns),
    )


class RowsDigest:
    """SHA-256 over the values of rows, in the order they are added."""

    def __init__(self) -> None:
        self.count = 0
        self._digest = hashlib.sha256()

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Takes in rows, one at a time."""
        for row in rows:
            self._digest.update(json.dumps(list(row), ensure_ascii=False).encode() + b"\n")
            self.count += 1

    @property
    def hex(self) -> str:
        """Of all rows so far."""
        return self._digest.hexdigest()


def tables(manifest: Manifest) -> dict[str, list[tuple[FileRecord, TableRecord]]]:
    """Configuration → its files, in the order of the pipeline, settings ascending."""
    found: dict[str, list[tuple[FileRecord, TableRecord]]] = {key: [] for key in ARTIFACTS}
    for file in manifest.files:
        if file.table is not None:
            found.setdefault(file.table.config, []).append((file, file.table))
    for files in found.values():
        files.sort(key=lambda file: _setting_key(file[0]))
    return {config: files for config, files in found.items() if files}


def default_of(manifest: Manifest) -> str | None:
    """The configuration that the viewer opens with; ``None`` where there is no table."""
    shown = tables(manifest)
    return DEFAULT_CONFIG if DEFAULT_CONFIG in shown else next(iter(shown), None)


def front_matter(manifest: Manifest) -> dict[str, Any]:
    """``configs`` and ``dataset_info`` of the card: exactly one default, explicit paths."""
    shown = tables(manifest)
    default = default_of(manifest)
    configs, infos = [], []
    for config, files in shown.items():
        paths = [file.path for file, _ in files]
        is_default = {"default": True} if config == default else {}
        data_files = [{"split": SPLIT, "path": paths}]
        configs.append({"config_name": config, **is_default, "data_files": data_files})
        infos.append(_info(config, files))
    return {"configs": configs, "dataset_info": infos} if shown else {}


def _info(config: str, files: Sequence[tuple[FileRecord, TableRecord]]) -> dict[str, Any]:
    num_bytes = sum(table.num_bytes for _, table in files)
    rows = sum(table.rows for _, table in files)
    return {
        "config_name": config,
        "features": [_feature(column) for column in files[0][1].columns],
        "splits": [{"name": SPLIT, "num_bytes": num_bytes, "num_examples": rows}],
        "download_size": sum(file.size for file, _ in files),
        "dataset_size": num_bytes,
    }


def _feature(column: ColumnRecord) -> dict[str, str]:
    if column.dtype == _LIST:
        return {"name": column.name, "list": "int32"}
    return {"name": column.name, "dtype": column.dtype}


def _setting_key(file: FileRecord) -> tuple[float, ...]:
    """Order of a file among those of its configuration: ε, then C."""
    if file.partition is None:
        return ()
    consistency, epsilon = map(float, file.partition.split("|"))
    return epsilon, consistency


def _arrow_bytes(series: pl.Series) -> int:
    """Size in memory as Arrow keeps it, without bitmaps of absent values."""
    rows = len(series)
    if series.dtype == pl.Boolean:
        return -(-rows // 8)
    if series.dtype == pl.String:
        return int(series.str.len_bytes().sum()) + 4 * (rows + 1)
    if series.dtype == pl.List(pl.Int32):
        return 4 * int(series.list.len().sum()) + 4 * (rows + 1)
    return 8 * rows
