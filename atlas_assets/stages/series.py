"""Circuits over the checkpoints of one training run: sizes, concept fractions, what is kept.

The checkpoints have the same neurons, so circuits of the same concept are compared neuron by neuron
(Jaccard |A∩B| / |A∪B|, 1 where both are empty), which those of two models cannot be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from atlas_assets.stages import columns as col
from atlas_assets.stages.concepts import KINDS
from atlas_assets.stages.decomposition.decomposition import tidy_target_checker
from atlas_assets.stages.masks.masks import Masks, require_same_layers
from atlas_assets.stages.rounding import mean
from atlas_assets.stages.schema import Column, TableSchema
from atlas_assets.stages.setting import Setting

SERIES_SCHEMA = TableSchema(
    columns=(
        col.text("checkpoint", "the folder of the checkpoint, or its revision"),
        Column("step", pl.Int64(), "the last number in its name", nullable=True, minimum=0),
        col.KIND,
        col.EPSILON,
        col.CONSISTENCY,
        col.count("concepts", "concepts of this type", minimum=1),
        col.count("without_neurons", "of them, those whose circuit is empty in every layer"),
        col.mean("mean_size", "mean size of a circuit per layer, neurons"),
        col.share(
            "concept_fraction",
            "mean over concept × layer of |A∖B| / |A|, of the concepts that have a keyword",
            nullable=True,
        ),
        col.share(
            "jaccard_with_previous",
            "mean Jaccard, over concept × layer, with the circuits of the checkpoint before",
            nullable=True,
        ),
        col.share("jaccard_with_last", "the same with those of the last one", nullable=True),
    ),
    key=("checkpoint", "type"),
    may_be_empty=False,
)


@dataclass(frozen=True, eq=False)
class Moment:
    """What one checkpoint shows at a setting.

    Attributes:
        checkpoint: its name.
        step: its number in the training run, where it has one.
        universal: the universal masks.
        target_checker: the published table of the decomposition; ``None`` where there is none.
    """

    checkpoint: str
    step: int | None
    universal: Masks
    target_checker: pl.DataFrame | None


def circuits_over_training(moments: Sequence[Moment], setting: Setting) -> pl.DataFrame:
    """Return a row per checkpoint, in their order, and type of concept (`SERIES_SCHEMA`).

    Raises ArtifactError where two checkpoints have not as many layers and neurons.
    """
    rows = []
    for number, moment in enumerate(moments):
        others = (moments[number - 1] if number else None, moments[-1])
        for kind in KINDS:
            masks = moment.universal.of_kind(kind)
            if not masks.names:
                continue
            sizes = masks.sizes()
            rows.append(
                (
                    *(moment.checkpoint, moment.step, kind, setting.epsilon, setting.consistency),
                    *(len(masks.names), int((sizes.sum(axis=1) == 0).sum())),
                    *(mean(sizes, places=1), _concept_fraction(moment, kind)),
                    *(_similarity(masks, moment, other) if other else None for other in others),
                )
            )
    return pl.DataFrame(rows, schema=SERIES_SCHEMA.polars, orient="row")


def _concept_fraction(moment: Moment, kind: str) -> float | None:
    if moment.target_checker is None:
        return None
    tidy = tidy_target_checker(moment.target_checker).filter(type=kind)
    return mean(tidy["concept_fraction"].to_numpy())


def _similarity(masks: Masks, moment: Moment, other: Moment) -> float | None:
    """The mean Jaccard of the circuits of the concepts that another checkpoint has, too."""
    others = other.universal
    told = (f"circuits of checkpoint {each.checkpoint}" for each in (moment, other))
    require_same_layers(masks, others, *told)
    common = set(masks.names) & set(others.names)
    left, right = masks.select(common).bits, others.select(common).bits
    shared, union = (left & right).sum(axis=2), (left | right).sum(axis=2)
    return mean(np.divide(shared, union, out=np.ones(shared.shape), where=union > 0))
