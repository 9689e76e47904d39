"""What exact ablation runs, and its losses: each concept's circuit on own and other prompts.

Conditions of a run, every one with a mask of neurons that are put to their mean at all positions:

``ablate``      the circuit
``matched 0``…  a control of the circuit's size (`definitions.matched`), own prompts only; there
                is none of the circuits that are such controls themselves
``keep``        everything but the circuit
``keep 0.02``…  everything but that share of all neurons, own prompts only: the circuit's first
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from atlas_assets.stages import columns as col
from atlas_assets.stages import streams
from atlas_assets.stages.circuits import definitions
from atlas_assets.stages.circuits.samples import Sample
from atlas_assets.stages.circuits.statistics import Indices
from atlas_assets.stages.concepts import concepts_of_pair
from atlas_assets.stages.masks.masks import Bits, Masks
from atlas_assets.stages.rounding import Reals
from atlas_assets.stages.schema import Column, TableSchema

#: the shares of all neurons at which faithfulness is taken, those of the MIB benchmark
CURVE = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)

SCHEMA = TableSchema(
    columns=(
        col.text("definition", "definition of a circuit"),
        col.concept("concept", "concept whose circuit it is"),
        col.text("condition", "what is put to its mean: ablate, matched, keep"),
        col.concept("prompts_of", "concept that the prompt is of"),
        col.text("pair", "pair of the prompt"),
        col.count("domain", "domain of the prompt"),
        col.count("prompt", "number of the prompt in the sample"),
        Column("loss", pl.Float64(), "loss of the prompt so, nats per token", minimum=0.0),
        Column("whole", pl.Float64(), "its loss in the whole network", minimum=0.0),
        Column("none", pl.Float64(), "its loss with all MLP readouts at their means", minimum=0.0),
    ),
    key=("definition", "concept", "condition", "prompt"),
)


@dataclass(frozen=True)
class Extent:
    """How much is run.

    Attributes:
        own: Prompts of the concept itself, at most.
        others: Prompts of each other concept, of pairs that are not the concept's own too; below
            1, the share of the concepts that give one.
        controls: Matched masks; where there are several, each on half of the concept's prompts.
        kept: Prompts of the concept, and of others, at most, with all but the circuit ablated.
        curve: Prompts of the concept at each share of `CURVE`, at most.
    """

    own: int
    others: float
    controls: int
    kept: int
    curve: int


#: all there is to say in the job ``validate``, and the sample of the job ``atlas``
EXACT = Extent(own=64, others=1, controls=definitions.MATCHED_DRAWS, kept=24, curve=8)
SAMPLED = Extent(own=5, others=0.03, controls=1, kept=1, curve=0)


@dataclass(frozen=True, eq=False)
class Plan:
    """All runs of the circuits of one definition.

    Attributes:
        gates: bool ``[masks, layers, width]``, false where a readout is put to its mean.
        runs: int64 ``[runs, 2]``: the prompt of the sample, and the gates.
        concepts: int64 ``[runs]``, whose circuit it is.
        conditions: The condition of each run.
    """

    gates: Bits
    runs: Indices
    concepts: Indices
    conditions: tuple[str, ...]


def plan(circuits: Masks, strength: Reals, sample: Sample, extent: Extent, seed: int = 42) -> Plan:
    """Return what is run for circuits of the sample's concepts; empty ones are run as well.

    Args:
        circuits: The circuits, of the concepts of the sample.
        strength: float64 ``[concepts, layers, width]``, mean |readout|: what controls match, and
            the order in which the curve keeps neurons of the circuit, then others.
        sample: The prompts.
        extent: How much is run.
        seed: The seed of the controls and of the choice of others' prompts.
    """
    controls = [
        definitions.matched(circuits, strength, draw=draw, seed=seed)
        for draw in range(extent.controls)
    ]
    gates: list[Bits] = []
    runs: list[tuple[int, int]] = []
    concepts: list[int] = []
    conditions: list[str] = []
    # in random order, so that the first ones are of any pairs
    in_turn = [
        streams.of_concept(seed, f"order {name}").permutation(sample.of(concept)).tolist()
        for concept, name in enumerate(sample.concepts)
    ]
    held_by = [concepts_of_pair(pair) for pair in sample.pair]
    for concept, name in enumerate(circuits.names):
        own = in_turn[concept][: extent.own]
        stream = streams.of_concept(seed, f"others {name}")
        not_own = [
            [prompt for prompt in of_other if name not in held_by[prompt]]
            for other, of_other in enumerate(in_turn)
            if other != concept
        ]
        others = _of_others(not_own, extent, stream)
        circuit = circuits.bits[concept]
        some = stream.permutation(others)[: extent.kept].tolist()
        kept_of = [*own[: extent.kept], *sorted(some)]
        held = [("ablate", ~circuit, [*own, *others]), ("keep", circuit, kept_of)]
        half = own if extent.controls == 1 else own[: -(-len(own) // 2)]
        held += [
            (f"matched {draw}", ~control.bits[concept], [*half])
            for draw, control in enumerate(controls)
        ]
        if extent.curve:
            held += [
                (condition, kept, [*own[: extent.curve]])
                for condition, kept in _curve(circuit, strength[concept])
            ]
        for condition, gate, prompts in held:
            runs += [(prompt, len(gates)) for prompt in prompts]
            concepts += [concept] * len(prompts)
            conditions += [condition] * len(prompts)
            gates.append(gate)
    return Plan(
        np.stack(gates),
        np.asarray(runs, dtype=np.int64).reshape(-1, 2),
        np.asarray(concepts, dtype=np.int64),
        tuple(conditions),
    )


def _of_others(
    prompts: Sequence[list[int]], extent: Extent, stream: np.random.Generator
) -> list[int]:
    """Return some of the prompts of each concept, or one of some concepts that have any."""
    others = [of_concept for of_concept in prompts if of_concept]
    if extent.others < 1 and others:
        some = max(round(extent.others * len(others)), 1)
        others = [others[place] for place in sorted(stream.permutation(len(others))[:some])]
    each = max(int(extent.others), 1)
    return [prompt for of_concept in others for prompt in of_concept[:each]]


def _curve(circuit: Bits, strength: Reals) -> Iterator[tuple[str, Bits]]:
    """Yield a condition and what it keeps: the strongest neurons, those of the circuit first."""
    order = np.lexsort((-strength.ravel(), ~circuit.ravel()))
    for share in CURVE:
        kept = np.zeros(circuit.size, dtype=np.bool_)
        kept[order[: round(share * circuit.size)]] = True
        yield f"keep {share:g}", kept.reshape(circuit.shape)


def run(
    ablate: Callable[[Sequence[str], Bits, Indices, Reals], Reals],
    sample: Sample,
    plans: Mapping[str, Plan],
    means: Reals,
) -> pl.DataFrame:
    """Run the plans of several definitions: columns ``SCHEMA``, sorted by its key.

    Args:
        ablate: Returns the losses of runs, given prompts, gates, runs and means.
        sample: The prompts.
        plans: What is run, by definition.
        means: float64 ``[layers, width]``, the mean readouts.
    """
    texts = tuple(dict.fromkeys(sample.texts))
    place = {text: number for number, text in enumerate(texts)}
    of_prompt = np.asarray([place[text] for text in sample.texts], dtype=np.int64)
    shape = (1, *means.shape)
    gates = [np.ones(shape, np.bool_), np.zeros(shape, np.bool_)]
    ends = [(text, gate) for gate in range(2) for text in range(len(texts))]
    runs = [np.asarray(ends, dtype=np.int64).reshape(-1, 2)]
    for planned in plans.values():
        prompts, masks = planned.runs.T
        runs.append(np.stack([of_prompt[prompts], masks + sum(map(len, gates))], axis=1))
        gates.append(planned.gates)
    losses = _once(ablate, texts, np.concatenate(gates), np.concatenate(runs), means)
    whole, none, *rest = np.split(losses, np.cumsum([len(texts)] * 2 + [*map(len, runs[1:])])[:-1])
    tables = [
        to_table(name, sample, planned, of_runs, whole[of_prompt], none[of_prompt])
        for (name, planned), of_runs in zip(plans.items(), rest, strict=True)
    ]
    return pl.concat([SCHEMA.polars.to_frame(), *tables]).sort(SCHEMA.key)


def _once(
    ablate: Callable[[Sequence[str], Bits, Indices, Reals], Reals],
    texts: Sequence[str],
    gates: Bits,
    runs: Indices,
    means: Reals,
) -> Reals:
    """Ablate, running equal gates on the same prompt once: the controls of one are circuits too."""
    packed = np.packbits(gates.reshape(len(gates), -1), axis=1)
    _, first, alike = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    distinct, place = np.unique(
        np.stack([runs[:, 0], first[alike.ravel()][runs[:, 1]]], axis=1),
        axis=0,
        return_inverse=True,
    )
    return ablate(texts, gates, distinct, means)[place.ravel()]


def to_table(
    definition: str, sample: Sample, planned: Plan, losses: Reals, whole: Reals, none: Reals
) -> pl.DataFrame:
    """Return the losses as a table of the columns ``SCHEMA``, a row per run, in their order.

    Args:
        definition: The definition of the circuits.
        sample: The prompts.
        planned: What was run.
        losses: float64 ``[runs]``.
        whole: float64 ``[prompts]``, the losses of the network as it is.
        none: float64 ``[prompts]``, those with every neuron put to its mean.
    """
    prompts = planned.runs[:, 0]
    names = np.array(sample.concepts, dtype=object)
    columns = {
        "definition": [definition] * len(prompts),
        "concept": names[planned.concepts],
        "condition": planned.conditions,
        "prompts_of": names[sample.concept[prompts]],
        "pair": np.array(sample.pair, dtype=object)[prompts],
        "domain": sample.domain[prompts],
        "prompt": prompts,
        "loss": losses,
        "whole": whole[prompts],
        "none": none[prompts],
    }
    return pl.DataFrame(columns, schema=SCHEMA.polars)
