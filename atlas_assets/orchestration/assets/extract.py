"""Running the model for an asset: shards, progress and settings joined to `science.extraction`.

Losses and readouts of the object prompts come from one pass over all candidates, whichever of the
two assets asks first: the pass is the same, so what the other finds stored is what it would
compute, byte for byte.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.atlas.model import AtlasModel
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.progress import Progress
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.activations.units import Units, units_of_object_prompts
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.concepts import pair_name
from atlas_assets.stages.prompts import object_prompts as objects
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.storage.store import AtlasStore

if TYPE_CHECKING:
    from atlas_assets.extraction.extraction import PromptReadings

#: whose scratch folder holds the pass over the object candidates: of the two assets that take
#: from it, the one that is written last
_CANDIDATES = "object_activations"


@lru_cache(maxsize=1)
def object_candidates(settings: AtlasSettings) -> pl.DataFrame:
    """The object prompts before the filter, as the settings cut them."""
    return objects.generate(
        load_stimuli(),
        ast_nodes=settings.ast_nodes,
        builtins=settings.builtins,
        variations=settings.variations,
    )


def extract_object_prompts(
    context: dg.AssetExecutionContext,
    prompts: pl.DataFrame,
    settings: AtlasSettings,
    model: AtlasModel,
    store: AtlasStore,
) -> Activations:
    """Sums and counts of the pairs of ``prompts``.

    Pairs that are candidates with all their prompts are taken from the pass over all candidates;
    other prompts than the settings give are run on their own.
    """
    units = units_of_object_prompts(prompts)
    if settings.readout != "last_token":
        return extract_units(context, units, settings, model, store)
    candidates = units_of_object_prompts(object_candidates(settings))
    if any(candidates.get(name) != texts for name, texts in units.items()):
        return extract_units(context, units, settings, model, store)
    readings = _read_candidates(context, candidates, settings, model, store)
    return readings.activations.select(tuple(sorted(units)))


def extract_units(
    context: dg.AssetExecutionContext,
    units: Units,
    settings: AtlasSettings,
    model: AtlasModel,
    store: AtlasStore,
) -> Activations:
    """Sums and counts of every unit, with the readout in force; resumes from finished shards."""
    from atlas_assets.extraction.extraction import extract  # imports torch: only where it runs

    key = context.asset_key.to_user_string()
    return extract(
        model.loaded,
        units,
        readout=settings.readout,
        batch_tokens=settings.batch_tokens,
        shards=_shards(key, settings, model, store),
        progress=Progress(f"{key}: prompts read", log=context.log.info),
    )


def score_candidates(
    context: dg.AssetExecutionContext,
    settings: AtlasSettings,
    model: AtlasModel,
    store: AtlasStore,
) -> pl.DataFrame:
    """The candidates with ``sequence_loss`` (nats) and ``token_length``; resumes likewise."""
    candidates = object_candidates(settings)
    if settings.readout == "last_token":
        readings = _read_candidates(
            context, units_of_object_prompts(candidates), settings, model, store
        )
        pairs = zip(candidates["ast_node"], candidates["builtin_obj"], strict=True)
        names = [pair_name(*pair) for pair in pairs]
        losses, lengths = (
            np.asarray([next(values[name]) for name in names])
            for values in (
                {name: iter(of_unit) for name, of_unit in by_unit.items()}
                for by_unit in (readings.losses, readings.lengths)
            )
        )
    else:
        losses, lengths = _score(context, candidates, settings, model, store)
    return candidates.with_columns(
        sequence_loss=pl.Series(losses, dtype=pl.Float64),
        token_length=pl.Series(lengths.astype(np.int64), dtype=pl.Int64),
    )


def _score(
    context: dg.AssetExecutionContext,
    prompts: pl.DataFrame,
    settings: AtlasSettings,
    model: AtlasModel,
    store: AtlasStore,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Losses and lengths alone, where the readouts need a pass of their own."""
    from atlas_assets.extraction.losses import score  # imports torch: only where it runs

    key = context.asset_key.to_user_string()
    scores = score(
        model.loaded,
        prompts["prompt_text"].to_list(),
        batch_tokens=settings.batch_tokens,
        shards=_shards(key, settings, model, store),
        progress=Progress(f"{key}: prompts scored", log=context.log.info),
    )
    return scores.losses, scores.lengths


def _read_candidates(
    context: dg.AssetExecutionContext,
    candidates: Units,
    settings: AtlasSettings,
    model: AtlasModel,
    store: AtlasStore,
) -> PromptReadings:
    from atlas_assets.extraction.extraction import read_prompts  # imports torch: only where it runs

    key = context.asset_key.to_user_string()
    return read_prompts(
        model.loaded,
        candidates,
        batch_tokens=settings.batch_tokens,
        shards=_shards(_CANDIDATES, settings, model, store),
        progress=Progress(f"{key}: prompts read and scored", log=context.log.info),
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
