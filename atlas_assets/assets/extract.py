"""Running the model for an asset: shards, progress and settings joined to `science.extraction`."""

from __future__ import annotations

import hashlib

import dagster as dg
import numpy as np
import polars as pl

from atlas_assets.formats.catalog import ARTIFACTS
from atlas_assets.formats.shards import ShardStore
from atlas_assets.formats.store import AtlasStore
from atlas_assets.progress import Progress
from atlas_assets.resources.model import AtlasModel
from atlas_assets.science.activations import Activations
from atlas_assets.science.units import Units
from atlas_assets.settings import AtlasSettings


def extract_units(
    context: dg.AssetExecutionContext,
    units: Units,
    settings: AtlasSettings,
    model: AtlasModel,
    store: AtlasStore,
) -> Activations:
    """Sums and counts of every unit, with the readout in force; resumes from finished shards."""
    from atlas_assets.science.extraction import extract  # imports torch: only where it runs

    key = context.asset_key.to_user_string()
    return extract(
        model.loaded,
        units,
        readout=settings.readout,
        batch_tokens=settings.batch_tokens,
        shards=_shards(key, settings, model, store),
        progress=Progress(f"{key}: prompts read", log=context.log.info),
    )


def score_prompts(
    context: dg.AssetExecutionContext,
    prompts: pl.DataFrame,
    settings: AtlasSettings,
    model: AtlasModel,
    store: AtlasStore,
) -> pl.DataFrame:
    """``prompts`` with ``sequence_loss`` (nats) and ``token_length``; resumes likewise."""
    from atlas_assets.science.losses import score  # imports torch: only where it runs

    key = context.asset_key.to_user_string()
    scores = score(
        model.loaded,
        prompts["prompt_text"].to_list(),
        batch_tokens=settings.batch_tokens,
        shards=_shards(key, settings, model, store),
        progress=Progress(f"{key}: prompts scored", log=context.log.info),
    )
    return prompts.with_columns(
        sequence_loss=pl.Series(scores.losses, dtype=pl.Float64),
        token_length=pl.Series(scores.lengths.astype(np.int64), dtype=pl.Int64),
    )


def _shards(key: str, settings: AtlasSettings, model: AtlasModel, store: AtlasStore) -> ShardStore:
    """The shards of artifact ``key`` made by this very model, readout, precision and code.

    The science adds the prompts and the batching to the fingerprint. A data dir that is no local
    folder gets no shards on disk.
    """
    parts = (
        key,
        ARTIFACTS[key].code_version,
        model.identity.model_dump_json(),
        settings.readout,
        settings.dtype,
        model.loaded.device.type,
    )
    fingerprint = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return ShardStore(store.scratch(key), fingerprint)
