"""What an atlas shows, in a few sentences, and the setting at which its circuits differ most."""

from __future__ import annotations

import json

import polars as pl

from atlas_assets.atlas.exporting import json_of
from atlas_assets.errors import ArtifactError
from atlas_assets.stages.setting import REFERENCE, Setting
from atlas_assets.storage.folder import settings_present
from atlas_assets.storage.store import AtlasStore


def most_distinct(store: AtlasStore) -> tuple[Setting, float] | None:
    """Return the setting with the most different circuits per layer, and how many, on average.

    Of equal ones it is the reference setting, else the first. ``None`` where
    ``circuit_distinctness`` is not there, or no masks are at any setting that it names.
    """
    table = _table(store, "circuit_distinctness")
    if table is None:
        return None
    there = settings_present(store.root, "object_masks")
    means = table.group_by("epsilon", "consistency").agg(pl.col("distinct").mean())
    found = {Setting(e, c): float(distinct) for e, c, distinct in means.rows()}
    ranked = sorted(
        (setting for setting in found if setting in there),
        key=lambda setting: (-found[setting], setting != REFERENCE, setting),
    )
    return (ranked[0], found[ranked[0]]) if ranked else None


def findings(store: AtlasStore) -> list[str]:
    """Return what the atlas's page says first, up to three sentences; none without such a page."""
    if not store.exists("atlas_report"):
        return []
    found = json.loads(json_of(store.read("atlas_report")))["findings"]
    return [finding["text"] for finding in found]


def _table(store: AtlasStore, key: str) -> pl.DataFrame | None:
    try:
        found: pl.DataFrame = store.read(key)
    except ArtifactError:
        return None
    return found if found.height else None
