"""What a materialisation says about its file, in the terms that Dagster's UI understands."""

from __future__ import annotations

import base64
import re
from typing import Any

import dagster as dg
import polars as pl

from atlas_assets.stages.artifact import Artifact
from atlas_assets.stages.figures.drawing import Drawing
from atlas_assets.stages.schema import Column
from atlas_assets.storage.codecs import codec_of
from atlas_assets.storage.store import Written


def file_metadata(written: Written) -> dict[str, Any]:
    """Return the path, size, origin and provenance of a written file as metadata."""
    address = written.path.as_uri()
    pages = {"open": dg.MetadataValue.url(address)} if address.endswith(".html") else {}
    return {
        **pages,
        "path": dg.MetadataValue.path(str(written.path)),
        "size": written.size_bytes,
        "origin": written.provenance.origin,
        "payload_sha256": written.provenance.payload_sha256,
        "provenance": dg.MetadataValue.json(written.provenance.model_dump(mode="json")),
    }


def content_metadata(artifact: Artifact, value: Any) -> dict[str, Any]:
    """Return what a value holds as metadata: counts, a table's columns, a figure's previews."""
    described: dict[str, Any] = codec_of(artifact).describe(value)
    if isinstance(value, Drawing):
        return {**described, **_previews(value)}
    if artifact.schema is None or not isinstance(value, pl.DataFrame):
        return described
    schema = artifact.schema.of(value.columns)
    columns = schema.declared(value.columns)
    return {
        "dagster/row_count": described["rows"],
        "dagster/column_schema": dg.TableSchema(
            columns=[_table_column(column, schema.key) for column in columns],
            constraints=dg.TableConstraints(
                other=[
                    f"({', '.join(schema.key)}) is unique",
                    *(rule.statement for rule in schema.rules),
                ]
            ),
        ),
    }


def _previews(drawing: Drawing) -> dict[str, Any]:
    """The sheets as images in Markdown, which the UI shows; each is small (see `Drawing`)."""
    title = _markdown_text(drawing.description)
    found = {}
    for number, preview in enumerate(drawing.previews, start=1):
        image = base64.b64encode(preview).decode()
        name = "preview" if len(drawing.previews) == 1 else f"preview_{number}"
        found[name] = dg.MetadataValue.md(f"![{title}](data:image/png;base64,{image})")
    return found


def _markdown_text(text: str) -> str:
    """Text that Markdown takes literally, on one line."""
    return re.sub(r"([\\`*_{}\[\]()#+!<>|~-])", r"\\\1", " ".join(text.split()))


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
