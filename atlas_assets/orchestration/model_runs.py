"""Runs of the model for an asset: shards, progress and settings joined to the extraction.

Losses and readouts of the object prompts come from one pass over all candidates, whichever of the
three assets asks first: the pass is the same, so what the others find stored is what it would
compute, byte for byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

import dagster as dg
import numpy as np
import polars as pl

from atlas_assets.atlas.model import AtlasModel
from atlas_assets.errors import ModelError
from atlas_assets.extraction.prompts import LongPromptError, tokenize
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.progress import Progress
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.activations.activations import Activations, Units, units_of_object_prompts
from atlas_assets.stages.activations.stored import LARGE, AnyActivations, is_large
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.circuits.wiring import Entries, Weights
from atlas_assets.stages.prompts.inventory import inventory_of
from atlas_assets.stages.prompts.object_prompts import names_of_pairs
from atlas_assets.stages.prompts.tokens import Tokenizer
from atlas_assets.storage.store import AtlasStore

if TYPE_CHECKING:
    from atlas_assets.extraction.engine import Engine
    from atlas_assets.extraction.extraction import NetworkPath, PromptReadings
    from atlas_assets.extraction.spots import Occurrences
    from atlas_assets.stages.activations.positions import PositionActivations
    from atlas_assets.stages.circuits.samples import Sample
    from atlas_assets.stages.circuits.statistics import Indices
    from atlas_assets.stages.masks.masks import Bits
    from atlas_assets.stages.rounding import Reals


class _Read(NamedTuple):
    """What a pass over object prompts gives.

    Attributes:
        readings: losses and readouts at the last token.
        positions: readouts at concepts and names; none of many prompts and a wide model.
        tokens: the tokens that are read there, columns of `read_tokens.SCHEMA`; ``None`` likewise.
    """

    readings: PromptReadings
    positions: tuple[PositionActivations, ...]
    tokens: pl.DataFrame | None


#: whose scratch folder holds the pass over the object prompts: of the three assets that take from
#: it, the one that is written last
_POSITIONS = "position_activations"
#: the candidates of a model's last pass over them and what it gave, until the last asset took it
_PASSES: WeakKeyDictionary[AtlasModel, tuple[pl.DataFrame, _Read]] = WeakKeyDictionary()

#: distinct prompts whose tokens the mean readouts are taken over, at most
MEAN_PROMPTS = 1024


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
    def _candidates(self) -> pl.DataFrame:
        return inventory_of(self._settings).object_candidates()

    @property
    def loss_threshold(self) -> float | None:
        """The highest mean loss (nats) at which a pair is kept; ``None``: all are."""
        return self._model.loss_threshold

    def score(self, candidates: pl.DataFrame) -> pl.DataFrame:
        """Return the candidates with ``sequence_loss`` (nats) and ``token_length``."""
        if self._settings.readout == "last_token":
            readings = self._read_candidates(candidates).readings
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

            with self._telling_what_fits(candidates):
                scores = score(
                    self._model.loaded,
                    candidates["prompt_text"].to_list(),
                    batch_tokens=self._settings.batch_tokens,
                    path=self._path,
                    engine=self._engine,
                    shards=self._shards(self._key),
                    progress=self._progress("prompts scored"),
                )
            losses, lengths = scores.losses, scores.lengths
        return candidates.with_columns(
            sequence_loss=pl.Series(losses, dtype=pl.Float64),
            token_length=pl.Series(lengths.astype(np.int64), dtype=pl.Int64),
        )

    def read_object_prompts(self, prompts: pl.DataFrame) -> AnyActivations:
        """Return the activations (sums and counts) of the pairs of ``prompts``.

        Pairs that are candidates with all their prompts are taken from the pass over all
        candidates; other prompts than the settings give are run on their own.
        """
        units = units_of_object_prompts(prompts)
        if self._settings.readout != "last_token" or not _holds(self._candidates, units):
            return self.read(units)
        readings = self._read_candidates(self._candidates).readings
        return readings.activations.select(tuple(sorted(units)))

    def read_positions(self, prompts: pl.DataFrame) -> tuple[PositionActivations, ...]:
        """Return what the pairs of ``prompts`` give at other positions, from the same pass.

        The release's readout has no pass to share, and the prompts are then run for this alone.
        """
        units = units_of_object_prompts(prompts)
        if self._is_large(prompts, units):
            raise ModelError(
                "activations at concepts and names are not made of an atlas of this size",
                where=self._key,
                expected=f"readouts of at most {LARGE / 1e9:g} GB",
                found=f"{len(prompts):,} prompts of {len(units):,} pairs",
                remedy="use fewer prompts; what needs none of them is made all the same",
            )
        if self._settings.readout == "last_token" and _holds(self._candidates, units):
            found = self._read_candidates(self._candidates).positions
            _PASSES.pop(self._model, None)  # no other asset takes readouts from it
        else:
            found = self._read_all(prompts, scored=False).positions
        return tuple(each.select(sorted(units)) for each in found)

    def tokens_read(self, prompts: pl.DataFrame) -> pl.DataFrame:
        """Return the tokens at which prompts are read at their concepts and names.

        Where the pass over the candidates is in memory it has found them already.
        """
        from atlas_assets.extraction.positions import occurrences_in, tokens_read  # imports torch

        held, units = _PASSES.get(self._model), units_of_object_prompts(prompts)
        if held is not None and held[1].tokens is not None and _holds(held[0], units):
            return held[1].tokens.filter(pl.col("pair").is_in(sorted(units)))
        return tokens_read(*occurrences_in(self._model.tokenizer, prompts))

    def read(self, units: Units) -> Activations:
        """Return the activations of every unit, with the readout in force."""
        from atlas_assets.extraction.extraction import extract  # imports torch

        return extract(
            self._model.loaded,
            units,
            readout=self._settings.readout,
            batch_tokens=self._settings.batch_tokens,
            path=self._path,
            engine=self._engine,
            shards=self._shards(self._key),
            progress=self._progress("prompts read"),
        ).whole()

    def attribute(self, sample: Sample) -> tuple[Reals, Reals]:
        """Return the mean attributions of each concept's prompts, and the mean readouts."""
        from scipy.sparse import coo_array, csr_array

        from atlas_assets.extraction import interventions  # imports torch

        texts = tuple(dict.fromkeys(sample.texts))
        place = {text: number for number, text in enumerate(texts)}
        columns = [place[text] for text in sample.texts]
        shares = 1 / np.bincount(sample.concept)[sample.concept]
        groups = csr_array(
            coo_array((shares, (sample.concept, columns)), shape=(len(sample.concepts), len(texts)))
        )
        return interventions.attributions(
            self._model.loaded,
            texts,
            groups,
            MEAN_PROMPTS,
            shards=self._shards(self._key),
            progress=self._progress("prompts attributed"),
            engine=self._engine,
        )

    def ablate(self, texts: Sequence[str], gates: Bits, runs: Indices, means: Reals) -> Reals:
        """Return the losses of prompts that are run with gates closed, in nats per token."""
        from atlas_assets.extraction import interventions  # imports torch

        return interventions.ablated_losses(
            self._model.loaded,
            texts,
            gates,
            runs,
            means,
            shards=self._shards(self._key),
            progress=self._progress("ablations run"),
            engine=self._engine,
        )

    def weights(self) -> Weights | None:
        """Return the non-zero weights of the blocks; ``None`` where wiring is not applicable."""
        from atlas_assets.models.wiring import block_weights  # imports torch

        found = block_weights(self._model.loaded)
        if found is None:
            return None
        reads, writes = Entries(*found.reads), Entries(*found.writes)
        return Weights(found.hidden, found.values, reads, writes, found.share)

    def _read_candidates(self, candidates: pl.DataFrame) -> _Read:
        """Run all candidates, or give what the pass gave when another asset asked for these."""
        held = _PASSES.get(self._model)
        if held is None or held[0] is not candidates:
            held = candidates, self._read_all(candidates)
            _PASSES[self._model] = held
        return held[1]

    def _read_all(self, prompts: pl.DataFrame, *, scored: bool = True) -> _Read:
        """Run object prompts once for all that is read of them."""
        from atlas_assets.extraction.extraction import read_prompts  # imports torch
        from atlas_assets.extraction.positions import by_pair, occurrences_in, tokens_read

        units = units_of_object_prompts(prompts)
        large = self._is_large(prompts, units)
        names: tuple[str, ...] = ()
        occurrences: dict[str, Occurrences] = {}
        if not large:
            names, occurrences = occurrences_in(self._model.tokenizer, prompts)
        with self._telling_what_fits(prompts):
            readings = read_prompts(
                self._model.loaded,
                units,
                occurrences,
                scored=scored,
                batch_tokens=self._settings.batch_tokens,
                path=self._path,
                engine=self._engine,
                # what lies in shards is taken from there until the activations are written
                shards=self._shards("object_activations" if large else _POSITIONS),
                progress=self._progress("prompts read and scored" if scored else "prompts read"),
            )
        if large:
            return _Read(readings, (), None)
        positions = by_pair(names, readings.positions)
        return _Read(readings, positions, tokens_read(names, occurrences))

    @contextmanager
    def _telling_what_fits(self, prompts: pl.DataFrame) -> Iterator[None]:
        """Say of the paper's prompts, which nobody can shorten, what else can be done."""
        try:
            yield
        except LongPromptError as error:
            if self._settings.stimuli is not None:
                raise
            texts, most = prompts["prompt_text"], self._model.loaded.max_positions
            table, rows = tokenize(self._model.tokenizer, texts)
            fits = pl.Series("fits", table.lengths[rows] <= most)
            by_node = prompts.with_columns(fits).group_by("ast_node").agg(pl.col("fits").all())
            fitting = ",".join(by_node.filter("fits")["ast_node"].sort())
            cut = f"cut the grid to AST nodes whose prompts fit (ATLAS_AST_NODES={fitting}), "
            raise LongPromptError(
                error.what,
                where=error.where,
                expected=error.expected,
                found=error.found,
                remedy=f"choose a model with more positions, {cut if fitting else ''}"
                "or give prompts of your own (ATLAS_STIMULI)",
            ) from None

    def _is_large(self, prompts: pl.DataFrame, units: Units) -> bool:
        loaded = self._model.loaded
        return is_large(len(prompts), len(units), loaded.n_layers, loaded.width)

    @property
    def _path(self) -> NetworkPath:
        return "tree" if self._settings.prefix_tree else "plain"

    @property
    def _engine(self) -> Engine:
        from atlas_assets.engines.dask_engine import engine_of  # imports torch

        return engine_of(self._settings, self._model, self._log.info)

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
            self._settings.read_at,
            self._settings.dtype,
            f"{self._settings.bos} {self._settings.mlp}",
            self._model.loaded.device.type,
        )
        fingerprint = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        return ShardStore(self._store.scratch(key), fingerprint)


def _holds(candidates: pl.DataFrame, units: Units) -> bool:
    """Whether all prompts of the units are candidates, each unit whole."""
    found = units_of_object_prompts(candidates)
    return all(found.get(name) == texts for name, texts in units.items())
