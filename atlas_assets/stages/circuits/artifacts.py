"""The artifacts of circuits: attributions, circuits by definition, ablations, and yardsticks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import polars as pl

from atlas_assets.errors import ArtifactError
from atlas_assets.stages import columns as col
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.activations.positions import HALVES, PositionActivations
from atlas_assets.stages.artifact import Artifact, Model, Needs
from atlas_assets.stages.check import (
    Check,
    Details,
    Inspected,
    NotComparedError,
    agrees_with_inputs,
)
from atlas_assets.stages.circuits import (
    ablation,
    circuits,
    definitions,
    half_circuits,
    halves,
    pruning,
    read_tokens,
    samples,
)
from atlas_assets.stages.circuits.own_circuits import read_own
from atlas_assets.stages.making import Making, definition_made
from atlas_assets.stages.masks.masks import Masks, universal_from_table
from atlas_assets.stages.rounding import Reals
from atlas_assets.stages.schema import Column, TableSchema
from atlas_assets.stages.setting import DEFINITIONS, PUBLISHED, REFERENCE, Definition

#: the definitions that there always are, in the order in which they are told
DEFINED = (PUBLISHED, "calibrated", "contrastive", "matched")
#: the definition that is a control of the published one
CONTROL = "matched"
#: the definition of circuits that a user's own file holds
OWN = "own"
_ATTRIBUTED = TableSchema(
    columns=(
        col.concept("concept", "concept"),
        col.LAYER,
        col.count("neuron", "neuron of the layer, from 0"),
        Column(
            "attribution",
            pl.Float64(),
            "−∂L/∂g at g = 1, L the mean loss of the concept's prompts: a first-order score to "
            "rank neurons by, no estimate of what ablating a single one costs",
        ),
        Column("mean_readout", pl.Float64(), "mean readout of the neuron over all tokens"),
    ),
    key=("concept", "layer", "neuron"),
    may_be_empty=False,
)


def _attribution(making: Making) -> pl.DataFrame:
    sample = samples.by_pair(making.read("object_prompts"), "discovery")
    found, means = making.model.attribute(sample)
    n, n_layers, width = found.shape
    making.note(prompts=len(set(sample.texts)))
    columns = {
        "concept": np.repeat(np.array(sample.concepts, dtype=object), n_layers * width),
        "layer": np.tile(np.repeat(np.arange(n_layers), width), n),
        "neuron": np.tile(np.arange(width), n * n_layers),
        "attribution": found.ravel(),
        "mean_readout": np.tile(means.ravel(), n),
    }
    return pl.DataFrame(columns, schema=_ATTRIBUTED.polars)


def _cube(table: pl.DataFrame, column: str, like: Masks) -> Reals:
    """Return a column of the attributions as float64 ``[concepts, layers, width]``."""
    names = tuple(table["concept"].unique(maintain_order=True))
    if names != like.names or table.height != like.bits.size:
        raise ArtifactError(
            "attributions and universal masks are not about the same model and concepts",
            where="attribution",
            expected=f"{len(like.names)} concepts, {like.n_layers} × {like.width} neurons",
            found=f"{len(names)} concepts, {table.height} rows",
            remedy="materialise attribution again",
        )
    return table[column].to_numpy().reshape(like.bits.shape)


def strength_of(making: Making, like: Masks) -> Reals:
    """Return the mean |readout| of each concept's prompts, float64 of the shape of ``like``."""
    activations: Activations = making.read("object_activations").whole()
    found = definitions.concept_means(
        activations.names, activations.sums.astype(np.float64), activations.n_prompts
    )
    return found.reshape(like.bits.shape)


def _circuits(making: Making) -> pl.DataFrame:
    definition = definition_made(making)
    masks: pl.DataFrame = making.read("masks")
    published = universal_from_table(masks, definition.setting or REFERENCE)
    found = published
    if definition.name == "calibrated":
        activations = PositionActivations.of(making.read("position_activations"), "concept")
        by_half = definitions.calibrated(halves.pair_masks(activations, "discovery"))
        found = circuits.from_table(circuits.to_table(by_half), published, where="calibrated")
    elif definition.name == "contrastive":
        scores = _cube(making.read("attribution"), "attribution", published)
        found = definitions.contrastive(scores, published)
    elif definition.name == "matched":
        found = definitions.matched(published, strength_of(making, published))
    elif definition.name == OWN:
        found = read_own(str(making.settings.circuits), published)
    empty = [name for name, bits in zip(found.names, found.bits, strict=True) if not bits.any()]
    making.note(neurons=int(found.bits.sum()), concepts_without_a_neuron=empty)
    making.remark(f"concepts without a neuron: {', '.join(empty)}" if empty else "")
    return circuits.to_table(found)


def circuits_of(making: Making, some: Iterable[Definition]) -> dict[str, Masks]:
    """Return the circuits of some definitions, by name."""
    like = universal_from_table(making.read("masks"), REFERENCE)
    return {
        str(each): circuits.from_table(making.read("circuits", each), like, where=str(each))
        for each in some
    }


def _ablated(making: Making, extent: ablation.Extent, some: Iterable[Definition]) -> pl.DataFrame:
    sample = samples.by_concept(making.read("object_prompts"), "test", extent.own)
    table = making.read("attribution")
    found = circuits_of(making, some)
    like = next(iter(found.values()))
    means = _means(making, table, like)
    strength = strength_of(making, like)
    # a control of a control compares nothing
    extents = {name: replace(extent, controls=0) if name == CONTROL else extent for name in found}
    plans = {
        name: ablation.plan(masks, strength, sample, extents[name]) for name, masks in found.items()
    }
    return ablation.run(making.model.ablate, sample, plans, means)


def _means(making: Making, attributed: pl.DataFrame, like: Masks) -> Reals:
    """Return what readouts are put to: float64 ``[layers, width]``."""
    means = _cube(attributed, "mean_readout", like)[0]
    return np.zeros_like(means) if making.settings.ablation == "zero" else means


def _pruned(making: Making) -> pl.DataFrame:
    table, prompts = making.read("attribution"), making.read("object_prompts")
    found = circuits_of(making, [each for each in _main(making) if each.name != CONTROL])
    like = next(iter(found.values()))
    means, scores = _means(making, table, like), _cube(table, "attribution", like)
    sought, test = (
        pruning.Judge(
            making.model.ablate, samples.by_concept(prompts, half, pruning.PROMPTS), means
        )
        for half in HALVES
    )
    tables = [pruning.pruned(name, masks, scores, sought, test) for name, masks in found.items()]
    return pl.concat(tables).sort(pruning.SCHEMA.key)


def _main(making: Making) -> list[Definition]:
    """Return the definitions that circuits are ablated of: not those at other settings."""
    return [each for each in making.definitions if each.setting is None]


def _follows(of: Inspected) -> Details:
    if of.setting == Definition(OWN):
        raise NotComparedError(
            "not compared: a user's own circuits follow from nothing",
            where="circuits",
            expected="a definition of this package",
            found=OWN,
            remedy="none is needed",
        )
    return agrees_with_inputs("", circuits.SCHEMA.key).verify(of)


def _half_circuits(making: Making) -> pl.DataFrame:
    published = universal_from_table(making.read("masks"), REFERENCE)
    return half_circuits.to_table(
        {half: half_circuits.of_half(making, published, half) for half in HALVES}
    )


_OF_CIRCUITS = ("masks", "circuits", "object_activations", "attribution", "object_prompts")

ATTRIBUTION = Artifact(
    key="attribution",
    title="Attribution of losses to neurons",
    filename="attribution.parquet",
    content=_ATTRIBUTED,
    group="stage_15_downstream",
    description="Attribution patching: a = −∂L/∂g at g = 1 with readouts μ + g·(readout − μ), L "
    "the mean loss of a concept's prompts of the domains that discover, μ the mean readout over "
    "all tokens. It is a first-order score to rank neurons by, no estimate of what ablating a "
    "single one costs.",
    code_version="2",
    compute=_attribution,
    inputs=("object_prompts",),
    model=Model.NETWORK,
    setting=REFERENCE,
    needs=Needs.GRID,
)

CIRCUITS = Artifact(
    key="circuits",
    title="Circuits by definition",
    filename="circuits_{tag}.parquet",
    content=circuits.SCHEMA,
    description="The circuits of all concepts, a row per neuron, by one definition each: published "
    "(the universal mask at the reference setting, or at another one of the sweep), calibrated "
    "(neurons that fire above 0.1 of their layer's scale at the concept's last token, on at least "
    "half of the prompts of at least half of the concept's pairs), contrastive "
    "(as many neurons of the highest attribution above the mean over concepts), matched (a "
    "control), or a user's own file. Concepts without a neuron are named in the record.",
    code_version="2",
    compute=_circuits,
    inputs=("masks", "object_activations", "position_activations", "attribution"),
    partitions=DEFINITIONS,
    setting=REFERENCE,
    needs=Needs.GRID,
    departures_of={OWN: {"circuits": None}},
    checks=(Check("agrees_with_inputs", "the neurons that the definition gives", _follows),),
)

ABLATION_SAMPLE = Artifact(
    key="ablation_sample",
    title="Exact ablation, a sample",
    filename="ablation_sample.parquet",
    content=ablation.SCHEMA,
    description="Losses of a few prompts of other domains with the neurons of a circuit put to "
    "their means at all positions; the same of a matched control (none of `matched` itself), and "
    "of everything but the circuit. Other prompts are of pairs that are not the concept's. The job "
    "validate runs all (ablation).",
    compute=lambda making: _ablated(making, ablation.SAMPLED, _main(making)),
    inputs=_OF_CIRCUITS,
    departures={"ablation": "mean"},
    completes=("circuits",),
    code_version="3",
    model=Model.NETWORK,
    setting=REFERENCE,
    needs=Needs.GRID,
)

ABLATION = Artifact(
    key="ablation",
    title="Exact ablation",
    filename="ablation.parquet",
    content=ablation.SCHEMA,
    description="The same as ablation_sample on 64 prompts of each concept and one of every other, "
    "with five matched controls and the curve of faithfulness from 0.1% to 50% of all neurons. "
    "The job validate makes it.",
    compute=lambda making: _ablated(making, ablation.EXACT, _main(making)),
    inputs=_OF_CIRCUITS,
    departures={"ablation": "mean"},
    completes=("circuits",),
    code_version="3",
    model=Model.NETWORK,
    setting=REFERENCE,
    needs=Needs.GRID,
    on_demand=True,
)

PRUNED_CIRCUITS = Artifact(
    key="pruned_circuits",
    title="Smallest faithful parts of circuits",
    filename="pruned_circuits.csv",
    content=pruning.SCHEMA,
    description="Of each circuit the first neurons, in the order of their attribution, that keep "
    "90% of its faithfulness on 8 prompts of the domains that discover, found by halving, and what "
    "they keep on 8 prompts of other domains. A shorter part, of other neurons, is not ruled out. "
    "The job validate makes it.",
    compute=_pruned,
    inputs=("masks", "circuits", "attribution", "object_prompts"),
    departures={"ablation": "mean"},
    completes=("circuits",),
    model=Model.NETWORK,
    setting=REFERENCE,
    needs=Needs.GRID,
    on_demand=True,
)

READ_TOKENS = Artifact(
    key="read_tokens",
    title="Tokens that are read",
    filename="read_tokens.parquet",
    content=read_tokens.SCHEMA,
    description="Per position, half and pair, on how many prompts which token is read at concept "
    "and name: what its id alone tells of a concept is a baseline of identification.",
    compute=lambda making: making.model.tokens_read(making.read("object_prompts")),
    inputs=("object_prompts",),
    model=Model.TOKENIZER,
    setting=REFERENCE,
    needs=Needs.GRID,
)

HALF_CIRCUITS = Artifact(
    key="half_circuits",
    title="Circuits of either half",
    filename="half_circuits.parquet",
    content=half_circuits.SCHEMA,
    description="The published circuits of at most ten prompts of each pair in one half, and the "
    "contrastive circuits of that half: how well both agree is split_half in circuit_quality. The "
    "job validate makes it.",
    compute=_half_circuits,
    inputs=("masks", "object_prompts"),
    model=Model.NETWORK,
    setting=REFERENCE,
    needs=Needs.GRID,
    on_demand=True,
)
