"""How each claim's quantity is computed from an atlas, whichever its model.

Every function returns a function of the `Evidence`; all raise AtlasError where the evidence does
not hold what they need (a layer, a concept, any row at all).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NoReturn

import numpy as np
import numpy.typing as npt
import polars as pl

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.analyses import atomicity
from atlas_assets.stages.concepts import Kind, split_concept
from atlas_assets.stages.decomposition import decomposition
from atlas_assets.stages.prompts.checker_prompts import avoids_concept
from atlas_assets.stages.prompts.integrity import shows_node
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.report.claims import Evidence
from atlas_assets.stages.rounding import fractions
from atlas_assets.stages.setting import REFERENCE, Setting

Measure = Callable[[Evidence], int]
Similarity = Literal["mean", "max", "above", "couples", "ockham"]
#: what is told of the similarities of concepts of one kind
SIMILARITIES: Mapping[Similarity, str] = {
    "mean": "their mean",
    "max": "the largest",
    "above": "how many exceed 0.5",
    "couples": "how many there are",
    "ockham": "mean of 1 − Jaccard",
}
_HALF = 0.5
_FEW = 0.2


def concepts_of(kinds: Sequence[Kind]) -> Measure:
    """Number of concepts of these kinds."""
    return lambda evidence: sum(split_concept(name)[0] in kinds for name in evidence.concepts())


def surviving(setting: Setting) -> Measure:
    """Number of concepts whose universal mask has a neuron in at least one layer."""

    def observe(evidence: Evidence) -> int:
        return int((evidence.universal(setting).sizes().sum(axis=1) > 0).sum())

    return observe


def fraction_ratio(setting: Setting) -> Callable[[Evidence], float]:
    """The AST nodes' mean concept fraction as a multiple of the builtins'."""

    def observe(evidence: Evidence) -> float:
        here = {"epsilon": setting.epsilon, "consistency": setting.consistency}
        rows = evidence.table("summary").filter(**here)
        if rows.height != 1:
            _lacking("summary", f"one row for {setting}", f"{rows.height} rows")
        of_ast, of_builtins = rows["ast_concept_fraction"][0], rows["blt_concept_fraction"][0]
        if of_ast is None or of_builtins is None:
            _lacking("summary", "testable AST nodes and testable builtins", "only one of them")
        return float(of_ast / of_builtins) if of_builtins else math.inf

    return observe


def most_modular(evidence: Evidence) -> str:
    """The concept that stands apart in most layers."""
    return _ranking(evidence)["index"].to_list()[0]  # type: ignore[no-any-return]


def three_most_modular(evidence: Evidence) -> tuple[str, ...]:
    """The three concepts that stand apart in most layers, in their order."""
    return tuple(_ranking(evidence)["index"].to_list()[:3])


def significant_layers(concept: str) -> Measure:
    """In how many layers a concept stands apart, nothing being trimmed."""

    def observe(evidence: Evidence) -> int:
        rows = _ranking(evidence).filter(index=concept)
        if rows.height != 1:
            _lacking("modularity_scores", f"a row for {concept}", f"{rows.height} rows")
        return int(rows["p=0.0"][0])

    return observe


def _ranking(evidence: Evidence) -> pl.DataFrame:
    """The scores in the published order; what that leaves open is left as the table has it."""
    table = evidence.table("modularity_scores")
    if table.is_empty():
        _lacking("modularity_scores", "at least one concept", "an empty table")
    return table.sort("p=0.0", "p=0.25", descending=True, maintain_order=True)


def atomic_clusters(setting: Setting, layer: int) -> Measure:
    """Over how many clusters of the cut the six atomic concepts are spread.

    An atomic concept whose circuit is empty is in no cluster, and counts as one of its own.
    """

    def observe(evidence: Evidence) -> int:
        universal = evidence.universal(setting)
        for name in atomicity.ATOMIC_CONCEPTS:
            universal.index(name)
        groups = atomicity.clusters(universal, layer)
        found = [groups.get(name) for name in atomicity.ATOMIC_CONCEPTS]
        return len({group for group in found if group is not None}) + found.count(None)

    return observe


def entanglement(name: str, layer: int) -> Callable[[Evidence], float]:
    """``mean``, ``median`` or percentage ``below`` 0.2 of the pairs' entanglement index."""
    summarise: Mapping[str, Callable[[npt.NDArray[np.float64]], float]] = {
        "mean": lambda values: float(values.mean()),
        "median": lambda values: float(np.median(values)),
        "below": lambda values: 100 * float((values < _FEW).mean()),
    }

    def observe(evidence: Evidence) -> float:
        table = evidence.table("compositionality")
        return summarise[name](_at_layer(table, "entanglement_index", layer))

    return observe


def similarity(
    kind: Kind, name: Similarity, layer: int
) -> Callable[[Evidence], int] | Callable[[Evidence], float]:
    """One of `SIMILARITIES` of every two concepts of one kind."""

    def values(evidence: Evidence) -> npt.NDArray[np.float64]:
        column = "ockham_index" if name == "ockham" else "jaccard"
        return _at_layer(evidence.table("ockham_index").filter(type=kind), column, layer)

    if name == "above":
        return lambda evidence: int((values(evidence) > _HALF).sum())
    if name == "couples":
        return lambda evidence: len(values(evidence))
    if name == "max":
        return lambda evidence: float(values(evidence).max())
    return lambda evidence: float(values(evidence).mean())


def mean_sizes(kind: str) -> Callable[[Evidence], tuple[float, ...]]:
    """Mean circuit size at each layer, of ``pair``, ``ast`` or ``builtin`` circuits."""

    def observe(evidence: Evidence) -> tuple[float, ...]:
        rows = evidence.table("layer_profile").filter(type=kind).sort("layer")
        if rows.is_empty():
            _lacking("layer_profile", f"{kind} circuits", "none")
        return tuple(rows["mean_size"].to_list())

    return observe


def _at_layer(table: pl.DataFrame, column: str, layer: int) -> npt.NDArray[np.float64]:
    values = table.filter(layer=layer)[column].to_numpy()
    if not values.size:
        _lacking(f"layer {layer}", "values at that layer", "none")
    return values.astype(np.float64)


def _mean_fractions(evidence: Evidence, kind: Kind) -> npt.NDArray[np.float64]:
    """Concept fraction at each layer, mean over the testable concepts of a kind."""
    table = evidence.table("target_checker", REFERENCE)
    of_kind = [split_concept(target)[0] == kind for target in table["target"]]
    if not any(of_kind):
        _lacking("target_checker", f"testable {kind} concepts", "none")
    cells = decomposition.parse_target_checker(table.filter(pl.Series(of_kind)))
    concept_only, shared = cells[..., 0], cells[..., 1]
    means: npt.NDArray[np.float64] = fractions(concept_only, concept_only + shared).mean(axis=0)
    return means


def peak_height(evidence: Evidence) -> float:
    """The AST nodes' largest concept fraction, over the layers, at the reference setting."""
    return float(_mean_fractions(evidence, "ast").max())


def peak_layer(evidence: Evidence) -> int:
    """The layer of `peak_height`; the first of several."""
    return int(_mean_fractions(evidence, "ast").argmax())


def builtins_at_peak(evidence: Evidence) -> float:
    """The builtins' concept fraction at `peak_layer`."""
    return float(_mean_fractions(evidence, "builtin")[peak_layer(evidence)])


def rows(key: str, *, kind: Kind | None = None) -> Measure:
    """Number of rows of a table; of those that speak of one kind of concept."""

    def observe(evidence: Evidence) -> int:
        table = evidence.table(key)
        if kind is None:
            return table.height
        return sum(split_concept(concept)[0] == kind for concept in table["object"])

    return observe


def pairs(evidence: Evidence) -> int:
    """Number of distinct pairs among the object prompts."""
    return _prompts_of_pairs(evidence).height


def prompts_per_pair(evidence: Evidence) -> int | tuple[int, ...]:
    """The number that all pairs have; the smallest and the largest where they differ."""
    counts = _prompts_of_pairs(evidence)["prompts"].to_numpy()
    if not counts.size:
        _lacking("object_prompts", "at least one pair", "an empty table")
    low, high = int(counts.min()), int(counts.max())
    return low if low == high else (low, high)


def unverified(evidence: Evidence) -> int:
    """Number of object prompts that are not marked as verified, or in which no such node occurs."""
    texts = evidence.table("object_prompts").group_by("ast_node", "prompt_text", "ast_verified")
    return sum(
        times
        for ast_node, text, verified, times in texts.len().rows()
        if not (verified and shows_node(text, ast_node))
    )


def unsound(key: str) -> Measure:
    """Number of checker prompts that do not parse, or show the concept they are to avoid."""

    def observe(evidence: Evidence) -> int:
        keywords = load_stimuli().checker_prompts.keyword_map
        texts = evidence.table(key).select("object", "prompt_text").rows()
        return sum(not avoids_concept(text, keywords[concept]) for concept, text in texts)

    return observe


def testable(column: str) -> Callable[[Evidence], int | tuple[int, ...]]:
    """A count of testable concepts in ``summary``; smallest and largest where settings differ."""

    def observe(evidence: Evidence) -> int | tuple[int, ...]:
        found = evidence.table("summary")[column].unique().sort().to_list()
        if not found:
            _lacking("summary", "at least one setting", "an empty table")
        return int(found[0]) if len(found) == 1 else (int(found[0]), int(found[-1]))

    return observe


def _prompts_of_pairs(evidence: Evidence) -> pl.DataFrame:
    return evidence.table("object_prompts").group_by("ast_node", "builtin_obj").len("prompts")


def _lacking(where: str, expected: str, found: str) -> NoReturn:
    raise ArtifactError(
        "the atlas does not hold what the claim speaks of",
        where=where,
        expected=expected,
        found=found,
        remedy="evaluate the claim on an atlas of the whole grid and of the paper's model",
    )
