"""What is checked of each artifact, whoever made it: its schema, and what it declares."""

from __future__ import annotations

from atlas_assets.stages.artifact import Layout
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.check import Check, Details, Inspected
from atlas_assets.storage.codecs import codec_named

#: files so large that they are kept packed while others are compared with them
MASK_LAYOUTS = (Layout.OBJECT_MASKS, Layout.CHECKER_MASKS)


def _schema(of: Inspected) -> Details:
    if ARTIFACTS[of.key].content in MASK_LAYOUTS:
        return of.masks.description
    return dict(codec_named(of.key).describe(of.value))


SCHEMA = Check(
    "schema",
    "the file reads back whole: declared types and ranges, counts, keys once, no NaN or missing "
    "value, masks of one width, content as recorded",
    _schema,
)


def checks_of(key: str) -> tuple[Check, ...]:
    """Everything that is checked of the artifact ``key``."""
    return (SCHEMA, *ARTIFACTS[key].checks)
