"""Runs of the model for an asset: shards, progress and settings joined to the extraction.

Losses and readouts of the object prompts come from one pass over all candidates, whichever of the
two assets asks first: the pass is the same, so what the other finds stored is what it would
compute, byte for byte.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import polars as pl

from atlas_assets.atlas.model import AtlasModel
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.progress import Progress
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.activations.activations import Activations, Units, units_of_object_prompts
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.prompts.inventory import inventory_of
from atlas_assets.stages.prompts.object_prompts import names_of_pairs
from atlas_assets.stages.prompts.tokens import Tokenizer
from atlas_assets.storage.store import AtlasStore

if TYPE_CHECKING:
    from atlas_assets.extraction.extraction import NetworkPath, PromptReadings

#: whose scratch folder holds the pass over the object candidates: of the two assets that take
#: from it, the one that is written last
_CANDIDATES = "object_activations"


class ModelRuns:
    """The model in force, run for one asset; unfinished runs resume from their shards.

    Args:
        context: the step's context; its resources are ``settings``, ``model`` and ``store``.
    """

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._key = context.asset_key.to_user_string()
        self._log = context.log
        self._settings: AtlasSettings = context.resources.settings
        self._model: AtlasModel = context.resources.model
        self._store: AtlasStore = context.resources.store

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        return self._model.tokenizer

    @property
    def loss_threshold(self) -> float | None:
        """The highest mean loss (nats) at which a pair is kept; ``None``: all are."""
        return self._model.loss_threshold

    def score(self, candidates: pl.DataFrame) -> pl.DataFrame:
        """Return the candidates with ``sequence_loss`` (nats) and ``token_length``."""
        if self._settings.readout == "last_token":
            readings = self._read_candidates(units_of_object_prompts(candidates))
            names = names_of_pairs(candidates)
            losses, lengths = (
                np.asarray([next(values[name]) for name in names])
                for values in (
                    {name: iter(of_unit) for name, of_unit in by_unit.items()}
                    for by_unit in (readings.losses, readings.lengths)
                )
            )
        else:
            from atlas_assets.extraction.extraction import score  # imports torch

            scores = score(
                self._model.loaded,
                candidates["prompt_text"].to_list(),
                batch_tokens=self._settings.batch_tokens,
                path=self._path,
                shards=self._shards(self._key),
                progress=self._progress("prompts scored"),
            )
            losses, lengths = scores.losses, scores.lengths
        return candidates.with_columns(
            sequence_loss=pl.Series(losses, dtype=pl.Float64),
            token_length=pl.Series(lengths.astype(np.int64), dtype=pl.Int64),
        )

    def read_object_prompts(self, prompts: pl.DataFrame) -> Activations:
        """Return the activations (sums and counts) of the pairs of ``prompts``.

        Pairs that are candidates with all their prompts are taken from the pass over all
        candidates; other prompts than the settings give are run on their own.
        """
        units = units_of_object_prompts(prompts)
        if self._settings.readout != "last_token":
            return self.read(units)
        candidates = units_of_object_prompts(inventory_of(self._settings).object_candidates())
        if any(candidates.get(name) != texts for name, texts in units.items()):
            return self.read(units)
        return self._read_candidates(candidates).activations.select(tuple(sorted(units)))

    def read(self, units: Units) -> Activations:
        """Return the activations of every unit, with the readout in force."""
        from atlas_assets.extraction.extraction import extract  # imports torch

        return extract(
            self._model.loaded,
            units,
            readout=self._settings.readout,
            batch_tokens=self._settings.batch_tokens,
            path=self._path,
            shards=self._shards(self._key),
            progress=self._progress("prompts read"),
        )

    def _read_candidates(self, candidates: Units) -> PromptReadings:
        from atlas_assets.extraction.extraction import read_prompts  # imports torch

        return read_prompts(
            self._model.loaded,
            candidates,
            batch_tokens=self._settings.batch_tokens,
            path=self._path,
            shards=self._shards(_CANDIDATES),
            progress=self._progress("prompts read and scored"),
        )

    @property
    def _path(self) -> NetworkPath:
        return "tree" if self._settings.prefix_tree else "plain"

    def _progress(self, what: str) -> Progress:
        return Progress(f"{self._key}: {what}", log=self._log.info)

    def _shards(self, key: str) -> ShardStore:
        """The shards of artifact ``key`` made by this very model, readout, precision and code.

        The extraction adds the prompts and the batching to the fingerprint. A data dir that is no
        local folder gets no shards on disk.
        """
        parts = (
            key,
            ARTIFACTS[key].code_version,
            self._model.identity.model_dump_json(),
            self._settings.readout,
            self._settings.dtype,
            self._model.loaded.device.type,
        )
        fingerprint = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        return ShardStore(self._store.scratch(key), fingerprint)
