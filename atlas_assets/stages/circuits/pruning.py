"""The smallest part of a circuit that is found to be nearly as faithful as the whole of it.

With F(kept) = 1 − ΔL(all but the kept neurons) / ΔL(all MLPs), each ΔL a mean over prompts, and the
neurons of a circuit in the order of their attribution, the highest first, the part sought is the
shortest beginning of that order with F(part) ≥ 90% of F(circuit). It is found by halving: F need
not grow with every neuron, so that a shorter beginning, or other neurons, may do as well. Parts are
sought on prompts of the domains that discover, and both faithfulnesses are taken again on others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from atlas_assets.stages import columns as col
from atlas_assets.stages.circuits.samples import Sample
from atlas_assets.stages.circuits.statistics import Indices
from atlas_assets.stages.masks.masks import Bits, Masks
from atlas_assets.stages.rounding import Reals
from atlas_assets.stages.schema import Column, TableSchema

#: the share of the circuit's faithfulness that a part has to keep
KEPT = 0.9
#: prompts of a concept, of either half
PROMPTS = 8

Ablate = Callable[[Sequence[str], Bits, Indices, Reals], Reals]


def _faithfulness(name: str, description: str) -> Column:
    return Column(name, pl.Float64(), description, nullable=True)


SCHEMA = TableSchema(
    columns=(
        col.text("definition", "definition of a circuit"),
        col.concept("concept", "concept"),
        col.count("size", "neurons of the circuit, all layers"),
        Column(
            "kept",
            pl.Int64(),
            "neurons of the smallest part found that keeps 90% of its faithfulness; none known of "
            "a circuit that is not faithful at all",
            nullable=True,
            minimum=0,
        ),
        Column(
            "neurons",
            pl.String(),
            "the part, as layer:neuron, the highest attribution first",
            nullable=True,
        ),
        _faithfulness(
            "faithfulness_sought", "faithfulness of the circuit where the part was sought"
        ),
        _faithfulness("kept_sought", "faithfulness of the part there"),
        _faithfulness(
            "faithfulness_test", "faithfulness of the circuit on prompts of other domains"
        ),
        _faithfulness("kept_test", "faithfulness of the part there"),
        col.count("n_test", "prompts of other domains that both were taken on"),
    ),
    key=("definition", "concept"),
    may_be_empty=False,
)


class Judge:
    """Takes the faithfulness of parts of circuits on the prompts of their concepts.

    Args:
        ablate: Returns the losses of runs, given prompts, gates, runs and means.
        sample: The prompts of each concept.
        means: float64 ``[layers, width]``, what readouts are put to.
    """

    def __init__(self, ablate: Ablate, sample: Sample, means: Reals) -> None:
        self._ablate, self._sample, self._means = ablate, sample, means
        self._texts = tuple(dict.fromkeys(sample.texts))
        place = {text: number for number, text in enumerate(self._texts)}
        self._of_prompt = np.asarray([place[text] for text in sample.texts], dtype=np.int64)
        ends = np.stack([np.ones(means.shape, np.bool_), np.zeros(means.shape, np.bool_)])
        runs = [(text, end) for end in range(2) for text in range(len(self._texts))]
        losses = self._losses(ends, runs)
        self._whole, self._none = np.split(losses, 2) if runs else (losses, losses)

    def prompts(self, concept: int) -> int:
        """Return the number of prompts of a concept."""
        return len(self._sample.of(concept))

    def faithfulness(self, concepts: Sequence[int], kept: Bits) -> Reals:
        """Return F of what is kept for each of some concepts, NaN where it is not known.

        Args:
            concepts: Their numbers.
            kept: bool ``[concepts, layers, width]``.
        """
        prompts = [self._sample.of(concept) for concept in concepts]
        texts = [self._of_prompt[each] for each in prompts]
        runs = [(int(text), row) for row, each in enumerate(texts) for text in each]
        losses = np.split(self._losses(kept, runs), np.cumsum([len(each) for each in texts])[:-1])
        found = np.full(len(concepts), np.nan)
        for row, (of_concept, each) in enumerate(zip(losses, texts, strict=True)):
            nothing_kept = float((self._none[each] - self._whole[each]).sum())
            if len(each) and nothing_kept:
                found[row] = 1 - float((of_concept - self._whole[each]).sum()) / nothing_kept
        return found

    def _losses(self, gates: Bits, runs: Sequence[tuple[int, int]]) -> Reals:
        if not runs:
            return np.empty(0)
        asked = np.asarray(runs, dtype=np.int64)
        return self._ablate(self._texts, gates, asked, self._means)


@dataclass(frozen=True, eq=False)
class _Search:
    """The circuits of one definition, in the order in which their neurons are kept.

    Attributes:
        circuits: The circuits.
        order: Per concept, the neurons of its circuit, numbered through all layers.
    """

    circuits: Masks
    order: tuple[Indices, ...]

    def parts(self, concepts: Sequence[int], sizes: Sequence[int]) -> Bits:
        """Return the first so many neurons of each: bool ``[concepts, layers, width]``."""
        _, n_layers, width = self.circuits.bits.shape
        kept = np.zeros((len(concepts), n_layers * width), dtype=np.bool_)
        for row, (concept, size) in enumerate(zip(concepts, sizes, strict=True)):
            kept[row, self.order[concept][:size]] = True
        return kept.reshape(-1, n_layers, width)


def pruned(
    definition: str, circuits: Masks, scores: Reals, sought: Judge, test: Judge
) -> pl.DataFrame:
    """Return the smallest faithful part that is found of each circuit: columns ``SCHEMA``.

    Args:
        definition: The definition of the circuits.
        circuits: The circuits, of the concepts of the samples of both judges.
        scores: float64 ``[concepts, layers, width]``, the attribution of each neuron.
        sought: Judges the parts that are tried.
        test: Judges the circuit and the part that is found.
    """
    order = tuple(
        _in_order(bits.ravel(), score.ravel())
        for bits, score in zip(circuits.bits, scores, strict=True)
    )
    search = _Search(circuits, order)
    sizes = [len(neurons) for neurons in order]
    every = range(len(sizes))
    whole = sought.faithfulness(every, circuits.bits)
    kept, of_kept = _halved(search, sought, whole, sizes)
    on_test = test.faithfulness(every, circuits.bits)
    found = np.array([-1 if number is None else number for number in kept])
    known = np.flatnonzero(found >= 0).tolist()
    kept_test = np.full(len(sizes), np.nan)
    kept_test[known] = test.faithfulness(known, search.parts(known, found[known].tolist()))
    width = circuits.width
    named = [
        None
        if number is None
        else " ".join(f"{neuron // width}:{neuron % width}" for neuron in neurons[:number])
        for number, neurons in zip(kept, order, strict=True)
    ]
    columns = {
        "definition": [definition] * len(sizes),
        "concept": circuits.names,
        "size": sizes,
        "kept": kept,
        "neurons": named,
        "faithfulness_sought": whole,
        "kept_sought": of_kept,
        "faithfulness_test": on_test,
        "kept_test": kept_test,
        "n_test": [test.prompts(concept) for concept in every],
    }
    table = pl.DataFrame(columns, schema=SCHEMA.polars)
    return table.with_columns(pl.col(pl.Float64).fill_nan(None))


def _in_order(circuit: Bits, scores: Reals) -> Indices:
    """Return the neurons of a circuit, the highest score first, of equal ones the first."""
    neurons = np.flatnonzero(circuit)
    return neurons[np.argsort(-scores[neurons], kind="stable")]


def _halved(
    search: _Search, judge: Judge, whole: Reals, sizes: Sequence[int]
) -> tuple[list[int | None], Reals]:
    """Return the size of each part and its faithfulness, halving what is left of all at once.

    Of every concept ``low`` neurons are known to be too few and ``high`` to be enough.
    """
    faithful = [concept for concept in range(len(sizes)) if sizes[concept] and whole[concept] > 0]
    low, high = dict.fromkeys(faithful, 0), {concept: sizes[concept] for concept in faithful}
    of_high = whole.copy()
    while undecided := [concept for concept in faithful if high[concept] - low[concept] > 1]:
        middle = [(low[concept] + high[concept]) // 2 for concept in undecided]
        found = judge.faithfulness(undecided, search.parts(undecided, middle))
        for concept, tried, value in zip(undecided, middle, found.tolist(), strict=True):
            if value >= KEPT * whole[concept]:
                high[concept], of_high[concept] = tried, value
            else:
                low[concept] = tried
    unknown = np.array([concept not in high for concept in range(len(sizes))])
    return [high.get(concept) for concept in range(len(sizes))], np.where(unknown, np.nan, of_high)
