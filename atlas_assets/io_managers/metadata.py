"""What a materialisation says about its file, in the terms that Dagster's UI understands."""

from __future__ import annotations

from typing import Any

import dagster as dg
import polars as pl

from atlas_assets.formats.catalog import Artifact
from atlas_assets.formats.schemas import Column
from atlas_assets.formats.store import Written


def file_metadata(written: Written) -> dict[str, Any]:
    """Path, size, origin and provenance of the file."""
    return {
        "path": dg.MetadataValue.path(str(written.path)),
        "size": written.size_bytes,
        "origin": written.provenance.origin,
        "payload_sha256": written.provenance.payload_sha256,
        "provenance": dg.MetadataValue.json(written.provenance.model_dump(mode="json")),
    }


def content_metadata(artifact: Artifact, value: Any) -> dict[str, Any]:
    """Counts and sizes; row count and described columns for a table."""
    described: dict[str, Any] = artifact.format.describe(value)
    if artifact.schema is None or not isinstance(value, pl.DataFrame):
        return described
    columns = artifact.schema.declared(value.columns)
    return {
        "dagster/row_count": described["rows"],
        "dagster/column_schema": dg.TableSchema(
            columns=[_table_column(column, artifact.schema.key) for column in columns],
            constraints=dg.TableConstraints(
                other=[
                    f"({', '.join(artifact.schema.key)}) is unique",
                    *(rule.statement for rule in artifact.schema.rules),
                ]
            ),
        ),
    }


def _table_column(column: Column, key: tuple[str, ...]) -> dg.TableColumn:
    limits = []
    if column.minimum is not None:
        limits.append(f"≥ {column.minimum:g}")
    if column.maximum is not None:
        limits.append(f"≤ {column.maximum:g}")
    if column.allowed is not None:
        limits.append(" or ".join(column.allowed))
    return dg.TableColumn(
        name=column.name,
        type=str(column.dtype),
        description=column.description,
        constraints=dg.TableColumnConstraints(
            nullable=column.nullable, unique=key == (column.name,), other=limits
        ),
    )
